"""Windows of series for forecasting: what a model reads, and the values that follow it.

Every part is a stretch of time in each series, and its windows begin one step apart (a rolling
origin; Tashman 2000, International Journal of Forecasting 16): the first 60 % of a series' steps
are for training, the next 20 % for validation, the last for test. A window is of the part in which
all the values lie that follow it; what it reads may lie before the part, never after its origin.
Each series is parted by itself, and one that is too short for a window in a part is not in it.

Targets are how far these values lie from the last one of the window, so that a level that training
has not seen is no obstacle; exported models add that value.
"""

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data.formats.checks import NAMES
from trainables.data.formats.ragged import Ragged
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive


def windows_of(
    spec: OwnData, ragged: Ragged, x: NDArray[np.generic], shares: tuple[float, ...]
) -> Parts:
    """Return the parts of series x [all steps, features], of which feature 0 is forecast.

    Raises InputError where a part would have no window.
    """
    for part in ("split", "group"):
        if getattr(ragged, part) is not None:
            rule = f"{part} must not be given for forecasting, whose parts follow time"
            raise InputError.of(f"{spec.data.file}: {part}", rule, "leave it out")
    window, horizon = spec.steps_read, spec.steps_ahead
    series_begin = np.cumsum(ragged.lengths) - ragged.lengths
    by_mase = spec.chosen_metric.name == "mase"
    naive = _naive_errors(spec, ragged, x, shares[0]) if by_mase else None
    parts = []
    for number, name in enumerate(NAMES):
        of_series = [
            begin + _begins(consecutive(int(length), shares)[number], window, horizon)
            for begin, length in zip(series_begin, ragged.lengths, strict=True)
        ]
        begins = np.concatenate(of_series)
        if len(begins) == 0:
            raise InputError.of(
                ragged.places.whole("lengths"),
                f"a series must be long enough for windows of {window} steps and the {horizon} "
                f"that follow, in every part of it; none has one for {name}",
                "give longer series, a smaller window or a smaller horizon",
            )
        last = begins[:, None] + window - 1
        y = x[last + np.arange(1, horizon + 1), 0] - x[last, 0]
        errors = None if naive is None else np.repeat(naive, list(map(len, of_series)))
        parts.append(Sequences(x, np.full(len(begins), window), y, begins, naive_error=errors))
    dealing = Dealing("time", official_test=True, spec=spec)
    steps = tuple(range(1, horizon + 1))
    sizes = x.shape[1], horizon
    return Parts(
        spec.label,
        spec.kind,
        *sizes,
        *parts,
        dealing=dealing,
        labels=steps,
        columns=ragged.columns,
    )


def _begins(part: slice, window: int, horizon: int) -> NDArray[np.int64]:
    """Return where the windows of a part of one series begin in it."""
    first, last = max(part.start - window, 0), part.stop - horizon - window
    return np.arange(first, max(last + 1, first), dtype=np.int64)


def _naive_errors(
    spec: OwnData, ragged: Ragged, x: NDArray[np.generic], share: float
) -> NDArray[np.float32]:
    """Return the scale of mase of each series [n]: the mean error of its naive forecast.

    Of one step ahead, over the series' training part: by the value before, or by that of a season
    before (Hyndman & Koehler 2006, International Journal of Forecasting 22, equation 3.2). Raises
    InputError where there is none, or where it is 0.
    """
    season, ends = spec.season or 1, np.cumsum(ragged.lengths)
    found = np.zeros(len(ends), np.float32)
    for at, (end, length) in enumerate(zip(ends, ragged.lengths, strict=True)):
        known = x[end - length :][: consecutive(int(length), (share,))[0].stop, 0]
        values = known.astype(np.float64)
        errors = np.abs(values[season:] - values[:-season])
        found[at] = errors.mean() if len(errors) else 0
        if found[at] == 0:
            raise InputError.of(
                ragged.places.of("lengths", at),
                f"for mase the first {share:.0%} of a series must change from one "
                f"{'step' if season == 1 else 'season'} to the next; those of this one do not, or "
                "are too few",
                "leave the series out, or choose metric: mae",
            )
    return found


def latest(series: Sequences, window: int) -> Sequences:
    """Return the last steps of each series, as many as a model reads, or all where it has fewer."""
    lengths = np.minimum(series.lengths, window)
    return Sequences(series.x, lengths, at=series.starts + series.lengths - lengths)
