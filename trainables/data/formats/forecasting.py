"""Windows of series for forecasting: what a model reads, and the values that follow it.

Every part is a stretch of time in each series, and its windows begin one step apart (a rolling
origin; Tashman 2000, International Journal of Forecasting 16): the first 60 % of a series' steps
are for training, the next 20 % for validation, the last for test. A window is of the part in which
all the values lie that follow it; what it reads may lie before the part, never after its origin.
Each series is parted by itself, and one that is too short for a window in a part is not in it,
which is told.

Targets are how far these values lie from the last one of the window, so that a level that training
has not seen is no obstacle; exported models add that value. With `difference: K` they lie from the
naive forecast of K steps, and a window is of differences, which are values less those K steps
before; with `transform` all of this is done to transformed values. See trainables.data.series.

Of columns whose future is known (calendars, prices, plans) a model reads two inputs at each step:
the value at that step, and the value a horizon later. So it has read those of all steps ahead once
it is at the origin. Nothing else of a later step is read.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.forecast import Forecast, ForecastSection, LeftOut
from spaces.own_data import Columns
from spaces.own_task import OwnData
from spaces.tasks import Series, TaskInfo
from spaces.text import listed, named
from trainables.data import transforms
from trainables.data.formats.checks import NAMES
from trainables.data.formats.ragged import Part, Places, Ragged
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.sequences import Dealing, Sequences
from trainables.data.series import SeriesValues, before, differences
from trainables.data.splits import Parts, consecutive

WINDOW_BYTES = 28  #: of each step for its window, beside inputs and targets, as measured
MOST_NAMED = 5  #: of the series that are too short for a part
_CALLED = {"train": "training", "validation": "validation", "test": "test"}
SHARES = (0.6, 0.2, 0.2)  #: of the steps of each series


def windows_of(spec: OwnData | Series, ragged: Ragged, x: NDArray[np.float32]) -> Parts:
    """Return the parts of series x [all steps, features], of which feature 0 is forecast.

    Raises InputError where a part would have no window.
    """
    for part in ("split", "group"):
        if getattr(ragged, part) is not None:
            rule = f"{part} must not be given for forecasting, whose parts follow time"
            raise InputError.of(ragged.places.whole(part), rule, "leave it out")
    window, horizon = spec.steps_read, spec.steps_ahead
    forecast, unread = spec.forecast, spec.forecast.unread
    by_mase = spec.chosen_metric.name == "mase"
    naive_errors = _naive_errors(spec, ragged, x) if by_mase else None
    known_ahead = _known_ahead(ragged.columns, spec.future)
    changed = spec.transform is not None or spec.difference is not None
    _check_size(ragged, x.shape, spec, copied=changed, known_ahead=known_ahead)
    transforms.check(x[:, :1], spec.transform, ragged.places)
    values = transforms.transformed(x[:, 0], spec.transform)
    series = SeriesValues(values, forecast.lag, spec.transform)
    if spec.difference is not None:
        values = differences(values, ragged.lengths, spec.difference)
    if changed:
        x = np.column_stack([values, x[:, 1:]])
    x = _with_later(x, ragged.lengths, known_ahead, horizon)
    series_begin = np.cumsum(ragged.lengths) - ragged.lengths
    parts, left_out = [], []
    for number, name in enumerate(NAMES):
        of_series = [
            begin + _begins(consecutive(int(length), SHARES)[number], window, horizon, unread)
            for begin, length in zip(series_begin, ragged.lengths, strict=True)
        ]
        begins = np.concatenate(of_series)
        empty = [at for at, each in enumerate(of_series) if len(each) == 0]
        if empty:
            told = tuple(_name(ragged, at) for at in empty[:MOST_NAMED])
            left_out.append(LeftOut(_CALLED[name], len(empty), len(of_series), told))
        if len(begins) == 0:
            raise InputError.of(
                ragged.places.whole("lengths"),
                f"a series must be long enough for windows of {window} steps"
                + f" of differences, {unread} steps before them," * (unread > 0)
                + f" and the {horizon} that follow, in every part of it; none has one for "
                + _CALLED[name],
                "give longer series, a smaller window or a smaller horizon",
            )
        ends = begins + window
        y = np.lib.stride_tricks.sliding_window_view(series.values, horizon)[ends]
        for ahead, back in enumerate(before(horizon, series.lag)):
            y[:, ahead] -= series.values[ends + back]
        errors = None
        if naive_errors is not None:
            errors = np.repeat(naive_errors, list(map(len, of_series)))
        lengths = np.full(len(begins), window)
        parts.append(Sequences(x, lengths, y, begins, naive_error=errors, series=series))
    return Parts(
        spec.label,
        "forecasting",
        x.shape[1],
        horizon * forecast.numbers,
        *parts,
        dealing=Dealing("time", official_test=True, spec=spec),
        labels=tuple(range(1, horizon + 1)),
        columns=ragged.columns,
        forecast=None if forecast == Forecast() else forecast,
        transform=spec.transform,
        left_out=tuple(left_out),
    )


def _check_size(
    ragged: Ragged,
    shape: tuple[int, ...],
    spec: ForecastSection,
    *,
    copied: bool,
    known_ahead: int,
) -> None:
    """Raise InputError where series, what is made of them and targets do not fit into memory.

    shape: of the series. copied: whether inputs are others than what was read. known_ahead: inputs
    of which a model reads later values as well.
    """
    steps, width = shape
    if ragged.checked is not None and ragged.columns is not None:  # of which one input was kept
        width = sum(len(feature.inputs) for feature in ragged.columns.features)
    numbers = width * (1 + copied) + (width + known_ahead) * bool(known_ahead)
    size = steps * (4 * (numbers + spec.steps_ahead) + WINDOW_BYTES)
    place = ragged.places.whole("x")
    refuse_unless_it_fits(size, place, "use less data, fewer features or a smaller horizon")


def _name(ragged: Ragged, at: int) -> str | int:
    """Return what the user calls a series, or its number."""
    name: str | int = at if ragged.ids is None else ragged.ids[at].item()
    return name


def _begins(part: slice, window: int, horizon: int, unread: int) -> NDArray[np.int64]:
    """Return where the windows of a part of one series begin in it.

    unread: steps at the beginning of the series that are in no window.
    """
    first, last = max(part.start - window, unread), part.stop - horizon - window
    return np.arange(first, max(last + 1, first), dtype=np.int64)


def _naive_errors(
    spec: ForecastSection, ragged: Ragged, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the scale of mase of each series [n]: the mean error of its naive forecast.

    Of one step ahead, over the series' training part: by the value before, or by that of a season
    before (Hyndman & Koehler 2006, International Journal of Forecasting 22, equation 3.2). Raises
    InputError where there is none, or where it is 0.
    """
    season, ends = spec.season_steps or 1, np.cumsum(ragged.lengths)
    found = np.zeros(len(ends), np.float32)
    for at, (end, length) in enumerate(zip(ends, ragged.lengths, strict=True)):
        known = x[end - length :][: consecutive(int(length), SHARES)[0].stop, 0]
        values = known.astype(np.float64)
        errors = np.abs(values[season:] - values[:-season])
        found[at] = errors.mean() if len(errors) else 0
        if found[at] == 0:
            raise InputError.of(
                ragged.places.of("lengths", at),
                f"for mase the first {SHARES[0]:.0%} of a series must change from one "
                f"{'step' if season == 1 else 'season'} to the next; those of this one do not, or "
                "are too few",
                "leave the series out, or choose metric: mae",
            )
    return found


def _known_ahead(columns: Columns | None, future: tuple[str, ...]) -> int:
    """Return how many of the inputs, the last ones, are of columns whose future is known."""
    features = () if columns is None else columns.features
    return sum(len(feature.inputs) for feature in features if feature.name in future)


def _with_later(
    x: NDArray[np.float32], lengths: NDArray[np.int64], known_ahead: int, horizon: int
) -> NDArray[np.float32]:
    """Return x [steps, inputs] with the last inputs a second time, as they are a horizon later.

    At the last steps of a series there is no later value: 0, which is in no window.
    """
    if not known_ahead:
        return x
    later = np.zeros((len(x), known_ahead), x.dtype)
    for end, length in zip(np.cumsum(lengths), lengths, strict=True):
        if length > horizon:
            later[end - length : end - horizon] = x[end - length + horizon : end, -known_ahead:]
    return np.concatenate([x, later], axis=1)


def latest(series: Sequences, window: int) -> Sequences:
    """Return the last steps of each series, as many as a model reads, or all where it has fewer."""
    lengths = np.minimum(series.lengths, window)
    return Sequences(series.x, lengths, at=series.starts + series.lengths - lengths)


@dataclass(frozen=True)
class _KeptPlaces:
    """Places of steps that were kept of others, with inputs behind those that the file has."""

    places: Places
    kept: NDArray[np.int64] = field(repr=False)  #: of each step, its number among all
    width: int  #: inputs that the file has
    later: int  #: inputs that are the last ones of these, a horizon later
    horizon: int

    def whole(self, part: Part) -> str:
        """Return the place of all values of a part."""
        return self.places.whole(part)

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value."""
        return self.places.of(part, sequence)

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x, or that of the value a horizon later."""
        step = int(self.kept[at])
        if feature is not None and feature >= self.width:
            return self.places.step(step + self.horizon, feature - self.later)
        return self.places.step(step, feature)


def with_future(ragged: Ragged, info: TaskInfo) -> Ragged:
    """Return new series as a model reads them that knows some columns a horizon ahead.

    The steps ahead are the rows at the end of each series whose target is missing, a horizon of
    them or more; only the columns whose future is known are read there. Raises InputError where
    there are fewer, or where one of their values is missing.
    """
    future, horizon, x = info.ahead.future, info.steps_ahead, ragged.x
    later, names = _known_ahead(ragged.columns, future), listed(map(named, future))
    ends = np.cumsum(ragged.lengths)
    lengths, kept = ragged.lengths.copy(), []
    read: NDArray[np.float32] = _with_later(x, ragged.lengths, later, horizon)
    for at, (end, length) in enumerate(zip(ends, ragged.lengths, strict=True)):
        known = np.flatnonzero(~np.isnan(x[end - length : end, 0]))
        lengths[at] = known[-1] + 1 if len(known) else 0
        ahead = length - lengths[at]
        if ahead < horizon or lengths[at] == 0:
            raise InputError.of(
                ragged.places.of("lengths", at),
                f"a series must end with {horizon} rows that have {names} and no target, the steps "
                f"that are forecast; this one has {ahead} of them, after {lengths[at]} steps with "
                "a target",
                f"add rows with {names} and an empty target, one for each step ahead",
            )
        kept.append(np.arange(end - length, end - ahead))
    steps = np.concatenate(kept)
    places = _KeptPlaces(ragged.places, steps, x.shape[1], later, horizon)
    return replace(ragged, x=read[steps], lengths=lengths, places=places)
