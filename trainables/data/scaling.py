"""What is fitted on the training part: what stands for missing values, and the scale of all data.

Networks learn at mean 0 and deviation 1, which is the default (`scaling: standard`); others are
robust and min-max. Each is a centre to subtract and a width to divide by, so that all that follows
is the same: redealing, export, units. Of inputs that tell which features are missing, the ones
that say whether they are there stay 0 and 1, and steps are divided by their mean.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.inputs import NOTHING
from spaces.own_task import Scaling
from trainables.data.missing import features
from trainables.data.moments import Moments, figures, mean_of, moments
from trainables.data.rows import Rows, blocks
from trainables.data.sequences import Data, TargetScaling

#: What a scaling subtracts, and what it divides by.
_NAMES: dict[Scaling, tuple[str, str]] = {
    "standard": ("mean", "deviation"),
    "robust": ("median", "interquartile range"),
    "min-max": ("least value", "range"),
}
#: The largest standardised value of all data: its square is a number in float32.
MOST = 1e18


def standardised(data: Data) -> Data:
    """Return the data with features and regression targets standardised on its training part.

    A feature that never changes in training is centred and not stretched. Symbols, frames and
    classes stay as they are.
    """
    if data.info.causal:
        return data
    data = filled(data)
    scaling = data.dealing.scaling
    found = moments(_observed(data), scaling)
    if (told := data.info.sizes[0].told) != NOTHING:
        by_time = np.ones(told.width, np.float32)
        by_time[told.features :] = _usual_times(data)
        nothing = np.zeros(told.width, np.float32)
        found = np.concatenate([found[0], nothing]), np.concatenate([found[1], by_time])
    y_scaling: TargetScaling | None = None
    if data.info.kind in ("regression", "forecasting"):
        assert data.train.y is not None
        one = data.info.outputs == 1 or data.info.kind == "forecasting"  # all steps are one series
        y_scaling = moments(data.train.y.reshape(-1, 1 if one else data.info.outputs), scaling)
        if one:
            y_scaling = float(y_scaling[0][0]), float(y_scaling[1][0])
    train, validation, test = (
        replace(part, scaling=found, y_scaling=y_scaling) for part in data.parts
    )
    dealing = replace(data.dealing, standardised=True)
    return replace(data, train=train, validation=validation, test=test, dealing=dealing)


def filled(data: Data) -> Data:
    """Return the data with the means of its training part for what is missing, where it asks so.

    The mean of a feature that is never there is 0.
    """
    if data.info.missing == "refuse":
        return data
    mean, _ = moments(_observed(data))
    fill = np.zeros(data.info.inputs, np.float32)
    fill[: len(mean)] = mean
    train, validation, test = (replace(part, fill=fill) for part in data.parts)
    return replace(data, train=train, validation=validation, test=test)


def known_means(data: Data) -> NDArray[np.float32]:
    """Return the mean [features] of what is there in the training part, as a model reads it."""
    width = features(data.info)
    assert data.train.fill is not None
    means = data.train.fill[:width].copy()
    if data.train.scaling is not None:
        centre, scale = data.train.scaling
        means = (means - centre[:width]) / scale[:width]
    return means


@dataclass(frozen=True)
class _Columns:
    """Some of the inputs of steps, [steps, inputs]."""

    steps: Rows
    chosen: slice

    @property
    def shape(self) -> tuple[int, ...]:
        """See Rows."""
        number, width = self.steps.shape
        return number, len(range(*self.chosen.indices(width)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """See Rows."""
        return self.steps.dtype

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """See Rows."""
        return self.steps[rows][:, self.chosen]


class _Observed(_Columns):
    """The first inputs of steps that tell which of them are missing; these are NaN."""

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """See Rows."""
        steps, number = self.steps[rows], self.shape[1]
        return np.where(steps[:, number : 2 * number] == 1, steps[:, :number], np.float32(np.nan))


def _observed(data: Data) -> Rows:
    """Return the features of the training part [steps, features], NaN where they are missing."""
    steps, width = data.train.unscaled(), features(data.info)
    if data.info.missing == "mask":
        return _Observed(steps, slice(width))
    return steps if steps.shape[1] == width else _Columns(steps, slice(width))


def _usual_times(data: Data) -> NDArray[np.float32]:
    """Return the mean of each input that is a time in the training part; 1 where it is 0.

    That of a step's gap is over the steps that have one before them: it is 1 after division.
    """
    values, told = data.info.sizes[0].values, data.info.sizes[0].told
    steps = data.train.unscaled()
    mean, number = mean_of(_Columns(steps, slice(values + told.features, None))), steps.shape[0]
    later = number - len(data.train)
    if told.gap and later:
        mean[-1] *= number / later
    usual: NDArray[np.float32] = np.where(mean > 0, mean, 1).astype(np.float32)
    return usual


def check_range(data: Data, place: str) -> None:
    """Raise InputError where a standardised value of any part is beyond what can be computed with.

    place: the user's file.
    """
    arrays: list[tuple[str, Moments, list[Rows]]] = []
    if data.train.scaling is not None:
        arrays.append(("x", data.train.scaling, [part.unscaled() for part in data.parts]))
    if data.train.y_scaling is not None:
        mean, deviation = (np.atleast_1d(np.float32(value)) for value in data.train.y_scaling)
        ys: list[Rows] = [p.y.reshape(-1, mean.size) for p in data.parts if p.y is not None]
        arrays.append(("y", (mean, deviation), ys))
    centre, width = _NAMES[data.dealing.scaling]
    for name, (mean, deviation), parts in arrays:
        for extreme in (np.fmin, np.fmax):  # NaN is what is missing
            found = [[extreme.reduce(each, axis=0) for each in blocks(part)] for part in parts]
            values = np.array([extreme.reduce(each) for each in found], np.float64)
            beyond = np.abs(values - mean) / deviation > MOST
            if beyond.any():
                part, feature = (int(i) for i in np.argwhere(beyond)[0])
                raise InputError.of(
                    f"{place}: {name}",
                    f"a value must not lie more than {MOST:g} {width}s from the {centre} of the "
                    f"training part; feature {feature} has {centre} {mean[feature]:.3g} and "
                    f"{width} {deviation[feature]:.3g} there, and a value of "
                    f"{values[part, feature]:.3g}",
                    "correct the value, or write scaling: none in task",
                )


def scale_notes(data: Data) -> list[str]:
    """Return sentences about a scale of the training data that hinders learning.

    A network learns well from inputs and targets near mean 0 and deviation 1.
    """
    steps = data.train.scaled()
    arrays: dict[str, Rows] = {"x": steps}
    if len(steps.shape) == 2:
        arrays["x"] = _Columns(steps, slice(features(data.info)))
    if data.info.kind == "regression" and data.train.targets is not None:
        arrays["y"] = data.train.targets.reshape(len(data.train), -1)
    notes = []
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        mean, deviation, constant = figures(array)
        varied = np.where(constant, 1.0, deviation)
        off = ~constant & ((varied > 100) | (varied < 0.01) | (abs(mean) > 10 * varied))
        if data.info.causal:
            off[:] = False  # frames are 0 or 1, however rarely
        for column in np.flatnonzero(off)[:1]:
            more = f" (and {off.sum() - 1} more)" if off.sum() > 1 else ""
            notes.append(
                f"{name}: feature {column}{more} has mean {mean[column]:.3g} and deviation "
                f"{deviation[column]:.3g} in the training part; let task.standardise be true, or "
                "the model may learn nothing"
            )
        flat = np.flatnonzero(constant)
        if len(flat):
            more = f" and {len(flat) - 1} more" if len(flat) > 1 else ""
            notes.append(f"{name}: feature {flat[0]}{more} never changes in the training part")
    return notes
