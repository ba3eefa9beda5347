"""How a series is best learned: tried by small trainings on its training and validation parts.

A series that grows, whose swings grow with it, or that repeats is learned better as logarithms or
differences. Which of them helps is not seen from the series, so each is tried: a GRU is trained on
some of the training part, and the mean absolute errors of its forecasts of the validation part are
compared, in the units of the series. The test part is not read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.own_task import OwnData
from spaces.tasks import Series
from trainables.data import tasks
from trainables.data.formats import own
from trainables.data.inspection.season import season_of
from trainables.data.sequences import Data, Sequences
from trainables.training.trainer import Training

#: A preparation must be better than none by this share, since it is chosen by few windows.
MARGIN = 0.1
SEEDS = 2
#: Of each training. Steps are those of all windows that it reads, so that a long season takes no
#: longer than a short one.
MOST_UPDATES, MOST_STEPS, MOST_EPOCHS = 600, 2_000_000, 60
MOST_WINDOWS = 2048  # of the training part; of the validation part half of these
BATCH = 32


@dataclass(frozen=True)
class Tried:
    """A preparation that was tried. options: as a task of a job file has them."""

    options: Mapping[str, Any]
    error: float  #: mean absolute error on the validation part


@dataclass(frozen=True)
class Prepared:
    """The preparation that is best. options: as a task of a job file has them."""

    options: Mapping[str, Any]
    error: float  #: mean absolute error on the validation part
    plain_error: float  #: the same of values relative to the last one

    @property
    def helps(self) -> bool:
        """Whether series are learned better by it."""
        return self.error < self.plain_error


def prepare(task: OwnData, base: Path) -> Prepared:
    """Return how own series are best learned, with their season. Raises InputError."""
    values, lengths = own.read_series(task, base)
    return chosen(try_preparations(task, base, season_of(values, lengths, task.steps_ahead)))


def try_preparations(task: OwnData | Series, base: Path, season: int | None) -> list[Tried]:
    """Return what was tried, the first without a preparation. Raises InputError.

    task: without difference and transform; the season, where series have one, is an option of each.
    All are scored on the same forecasts. What the series do not allow is left out: logarithms below
    0, and a season or differences for whose windows a series is too short.
    """
    plain = _load(task, base, {"relative": True})
    allowed = {} if season is None else {"season": season}
    if season is not None and _load_like(plain, task, base, {"relative": True, **allowed}) is None:
        season, allowed = None, {}
    found: list[Tried] = []
    for lag in [None] if season is None else [None, season]:
        for transform in (None, "log"):
            options: dict[str, Any] = dict(allowed)
            options |= {"relative": True} if lag is None else {"difference": lag}
            options |= {} if transform is None else {"transform": transform}
            data = _load_like(plain, task, base, options)
            if data is not None:
                found.append(Tried(options, _error(data)))
    return found


def _load(task: OwnData | Series, base: Path, options: Mapping[str, Any]) -> Data:
    written = {**task.model_dump(exclude_none=True), "relative": None, **options}
    return tasks.load(type(task).model_validate(written), base)


def _load_like(
    plain: Data, task: OwnData | Series, base: Path, options: Mapping[str, Any]
) -> Data | None:
    """Return the data with options; None where it does not have the series and forecasts of plain.

    Refused are logarithms of negative values, and windows for which all series are too short.
    """
    try:
        data = _load(task, base, options)
    except InputError:
        return None
    alike = len(data.validation) == len(plain.validation)
    return data if alike and data.info.left_out == plain.info.left_out else None


def chosen(tried: Sequence[Tried]) -> Prepared:
    """Return the best preparation; none, where no other one is better by the margin."""
    plain, best = tried[0], min(tried, key=lambda each: each.error)
    if best.error >= (1 - MARGIN) * plain.error:
        best = plain
    return Prepared(best.options, best.error, plain.error)


def _error(data: Data) -> float:
    train, validation = _some(data.train, MOST_WINDOWS), _some(data.validation, MOST_WINDOWS // 2)
    data = replace(data, train=train, validation=validation, test=validation)
    batches, window = -(-len(train) // BATCH), int(train.lengths[0])
    updates = min(MOST_UPDATES, MOST_STEPS // (BATCH * window))
    config = TrialConfig(
        cell="gru",
        gates="reset-after",
        depth=1,
        hidden_size=32,
        dropout=0.0,
        learning_rate=0.01,
        batch_size=BATCH,
        max_epochs=max(1, min(MOST_EPOCHS, updates // batches)),
    )
    return float(np.mean(list(_least_errors(config, data))))


def _least_errors(config: TrialConfig, data: Data) -> Iterator[float]:
    for seed in range(SEEDS):
        training = Training(config, data, seed=seed)
        curve = training.advance(config.max_epochs)
        yield min((epoch.metrics["mae"] for epoch in curve), default=np.inf)


def _some(windows: Sequences, most: int) -> Sequences:
    """Return windows, evenly spaced where there are more than so many."""
    if len(windows) <= most:
        return windows
    at: NDArray[np.int64] = np.linspace(0, len(windows) - 1, most).astype(np.int64)
    return windows.chosen(at)
