"""Own data from one .npz file without pickles: its arrays, checked for types and shapes.

x        [all steps, features] numbers; [all steps] integers 0 … V-1 for next-token; [all steps,
         labels] of 0 and 1 for next-step. Sequences lie end to end.
lengths  [n] steps of each sequence; they sum to all steps
y        [n] classification: text or whole numbers; regression: numbers, [n, targets] several of
         them; multi-label: [n, labels] of 0 and 1; tagging: [all steps] text or whole numbers. Not
         for next-token, next-step.
split    [n] optional: 'train', 'val' or 'validation', 'test'
group    [n] optional: whole numbers or strings
time     [all steps] numbers, for `time_gaps` alone: when each step was, ascending in a sequence
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, has_classes, of_several, predicts_itself
from spaces.own_data import DataSection
from spaces.tasks import TaskInfo
from trainables.data.formats.archive import read_arrays
from trainables.data.formats.labels import encode
from trainables.data.formats.ragged import Array, Part, Ragged, first, sequence_of

REQUIRED, OPTIONAL = ("x", "lengths"), ("y", "split", "group", "time")
_SYMBOLS = (
    "encode the symbols as integers 0 … V-1: _, x = numpy.unique(symbols, return_inverse=True)"
)


@dataclass(frozen=True)
class ArrayPlaces:
    """Places by array and position: "gestures.npz: x[1204, 3] (sequence 17, step 5, feature 3)"."""

    file: str
    lengths: NDArray[np.int64] = field(repr=False)

    def whole(self, part: Part) -> str:
        """Return the place of an array."""
        return f"{self.file}: {part}"

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value."""
        return f"{self.file}: {part}[{sequence}]"

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        sequence, within = sequence_of(self.lengths, at)
        if feature is None:
            return f"{self.file}: x[{at}] (sequence {sequence}, step {within})"
        return (
            f"{self.file}: x[{at}, {feature}] (sequence {sequence}, step {within}, "
            f"feature {feature})"
        )


def read(path: Path, data: DataSection, kind: TaskKind) -> Ragged:
    """Return the data of an .npz file for a task of a kind. Raises InputError."""
    place = data.file
    labelled = not predicts_itself(kind)
    arrays = read_arrays(
        path,
        place,
        required=(*REQUIRED, *["y"] * labelled, *["time"] * data.time_gaps),
        optional=("split", "group", *["time"] * (not data.time_gaps)),
    )
    return of_arrays(arrays, kind, place, time_gaps=data.time_gaps)


def of_arrays(
    arrays: Mapping[str, Array], kind: TaskKind, place: str, *, time_gaps: bool = False
) -> Ragged:
    """Return the data of arrays, of which none that are required are missing. Raises InputError."""
    labelled = not predicts_itself(kind)
    lengths = _lengths(arrays["lengths"], len(np.atleast_1d(arrays["x"])), place)
    places = ArrayPlaces(place, lengths)
    _check_steps(arrays["x"], kind, place)
    n, y, labels = len(lengths), None, None
    if labelled:
        _check_targets(arrays["y"], len(arrays["x"]) if kind == "tagging" else n, kind, place)
        y, labels = encode(arrays["y"]) if has_classes(kind) else (arrays["y"], None)
    split, group = (
        _per_sequence(name, arrays, n, kinds, remedy, place)
        for name, kinds, remedy in (
            (
                "split",
                "US",
                "give 'train', 'val' (or 'validation') or 'test' for each sequence, or leave it "
                "out",
            ),
            ("group", "iuUS", "give whose sequence each one is, or leave group out"),
        )
    )
    gap = _gaps(arrays["time"], lengths, place) if time_gaps else None
    return Ragged(arrays["x"], lengths, places, y, split, group, labels=labels, gap=gap)


def read_new(path: Path, info: TaskInfo) -> Ragged:
    """Return sequences that a model is to be given: y as the file has it, not encoded.

    y, split and group may be in the file. Raises InputError.
    """
    place, kind = path.name, info.kind
    required = (*REQUIRED, *["time"] * info.gaps)
    optional = tuple(name for name in OPTIONAL if name not in required)
    arrays = read_arrays(path, place, required, optional)
    lengths = _lengths(arrays["lengths"], len(np.atleast_1d(arrays["x"])), place)
    _check_steps(arrays["x"], kind, place)
    gap = _gaps(arrays["time"], lengths, place) if info.gaps else None
    for name in ("y", "split"):
        each = (len(arrays["x"]),) if name == "y" and kind == "tagging" else lengths.shape
        several = name == "y" and of_several(kind) and arrays.get(name, lengths).ndim == 2
        if several:
            each = (len(lengths), info.outputs)
        if name in arrays and arrays[name].shape != each:
            raise InputError.of(
                f"{place}: {name}",
                f"{name} must be {list(each)}, one value for each of the {each[0]} "
                f"{'steps' if kind == 'tagging' and name == 'y' else 'sequences'}, not "
                f"{list(arrays[name].shape)}",
                f"leave {name} out, or give one for each",
            )
    y = None if predicts_itself(kind) else arrays.get("y")
    places = ArrayPlaces(place, lengths)
    return Ragged(arrays["x"], lengths, places, y, arrays.get("split"), gap=gap)


def read_any(path: Path) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return the arrays of a file whose task is not known yet, and its lengths. Raises InputError.

    x is [steps] or [steps, features]; y is [n], [n, targets] or [steps]; split and group are [n],
    time is [steps].
    """
    place = path.name
    arrays = read_arrays(path, place, REQUIRED, OPTIONAL)
    return arrays, lengths_of(arrays, place)


def lengths_of(arrays: Mapping[str, Array], place: str) -> NDArray[np.int64]:
    """Return the lengths of arrays of a task that is not known yet, checked. Raises InputError."""
    lengths = _lengths(arrays["lengths"], len(np.atleast_1d(arrays["x"])), place)
    if arrays["x"].ndim != 1 or arrays["x"].dtype.kind not in "iu":
        _check_steps(arrays["x"], "classification", place)
    y, n, steps = arrays.get("y"), len(lengths), len(arrays["x"])
    if y is not None and y.ndim == 1 and len(y) == steps != n and y.dtype.kind in "iubUS":
        _check_targets(y, steps, "tagging", place)
    elif y is not None and y.ndim == 2:
        _check_targets(y, n, "multi-label", place)
    elif y is not None:
        _per_sequence("y", arrays, n, "fiubUS", "correct y", place)
    for name in ("split", "group"):
        if name in arrays:
            _per_sequence(name, arrays, n, "fiubUS", f"correct {name}", place)
    if "time" in arrays:
        _gaps(arrays["time"], lengths, place)
    return lengths


def _gaps(time: Array, lengths: NDArray[np.int64], place: str) -> NDArray[np.float32]:
    """Return the time since the step before [steps], 0 at the first of each sequence."""
    steps = int(lengths.sum())
    remedy = "write seconds or another unit; of dates time.astype('datetime64[s]').astype(int)"
    if time.shape != (steps,) or time.dtype.kind not in "fiu":
        rule = f"time must be [{steps}] finite numbers, when each step of x was"
        raise InputError.of(f"{place}: time", f"{rule}, not {_description(time)}", remedy)

    def where(at: int) -> str:
        sequence, within = sequence_of(lengths, at)
        return f"{place}: time[{at}] (sequence {sequence}, step {within})"

    if (at := first(~np.isfinite(time))) is not None:
        rule = f"a time must be a finite number, not {time[at]}"
        raise InputError.of(where(at), rule, "correct it, or leave the step out")
    gaps = np.diff(time.astype(np.float64), prepend=0.0)
    gaps[np.cumsum(lengths) - lengths] = 0
    if (at := first(gaps < 0)) is not None:
        rule = "time must not fall within a sequence; here it is less than at the step before"
        raise InputError.of(where(at), rule, "sort the steps of each sequence by time")
    return gaps.astype(np.float32)


def _lengths(lengths: Array, steps: int, place: str) -> NDArray[np.int64]:
    """Return the lengths, checked against the steps of x."""
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise InputError.of(
            f"{place}: lengths",
            f"lengths must be [n] integers, not {_description(lengths)}",
            "give the number of steps of each sequence: lengths.astype(int)"
            if lengths.ndim == 1 and lengths.dtype.kind == "f"
            else "give the number of steps of each sequence",
        )
    if len(lengths) == 0 or steps == 0:
        raise InputError.of(
            f"{place}: {'lengths' if len(lengths) == 0 else 'x'}",
            "the data must hold at least one sequence; this array is empty",
            "check how the file was written",
        )
    at = first((lengths < 1) | (lengths > steps))
    if at is not None:
        raise InputError.of(
            f"{place}: lengths[{at}]",
            f"a sequence must have at least 1 step and at most the {steps} of x; this one has "
            f"{int(lengths[at])}",
            "leave such sequences out, or correct their length",
        )
    total = int(lengths.astype(np.float64).sum())  # cannot overflow; exact below 2**53
    if total != steps:
        raise InputError.of(
            f"{place}: lengths",
            f"the lengths must sum to the steps of x, {steps}; they sum to {total}",
            "lay the sequences end to end without padding: x = numpy.concatenate(sequences), "
            "lengths = [len(s) for s in sequences]",
        )
    return lengths.astype(np.int64)


def _check_steps(x: Array, kind: TaskKind, place: str) -> None:
    if kind == "next-token":
        if x.ndim != 1 or x.dtype.kind not in "iu":
            raise InputError.of(
                f"{place}: x",
                f"x must be [all steps] integers for next-token, not {_description(x)}",
                _SYMBOLS,
            )
    elif x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiub":
        raise InputError.of(
            f"{place}: x",
            f"x must be [all steps, features] numbers for {kind}, not {_description(x)}",
            "with one feature: x.reshape(-1, 1); with padded sequences [n, T, features]: "
            "cut off the padding and lay them end to end",
        )


def _check_targets(y: Array, n: int, kind: TaskKind, place: str) -> None:
    if of_several(kind) and y.ndim == 2 and len(y) == n and y.shape[1] > 1:
        pass
    elif y.shape != (n,) or kind == "multi-label":
        remedy = "give one label or target for each sequence, in the order of lengths"
        if y.shape == (n, 1):
            remedy = "y.ravel()"
        elif y.ndim == 2 and len(y) == n and kind == "classification":
            remedy = "of one-hot labels: y.argmax(1)"
        raise InputError.of(
            f"{place}: y",
            f"y must be {'[n, labels]' if kind == 'multi-label' else '[n]'}, one for each of the "
            f"{n} {'steps' if kind == 'tagging' else 'sequences'}; this is {_description(y)}",
            remedy,
        )
    if has_classes(kind) and y.dtype.kind not in "iubUS":
        raise InputError.of(
            f"{place}: y",
            f"classes must be text or whole numbers, not {_description(y)}",
            "y = y.astype(int), or name the classes",
        )
    if of_several(kind) and y.dtype.kind not in "fiub":
        raise InputError.of(
            f"{place}: y",
            f"{kind} targets must be numbers, not {_description(y)}",
            "save y as an array of floating-point numbers",
        )


def _per_sequence(
    name: str, arrays: Mapping[str, Array], n: int, kinds: str, remedy: str, place: str
) -> Array | None:
    """Return an optional array, one value a sequence, of one of some kinds of types."""
    array = arrays.get(name)
    if array is not None and (array.shape != (n,) or array.dtype.kind not in kinds):
        what = "names" if kinds == "US" else "whole numbers or strings"
        raise InputError.of(
            f"{place}: {name}",
            f"{name} must be [n] {what}, one for each of the {n} sequences, not "
            f"{_description(array)}",
            remedy,
        )
    return _text(array)


def _text(array: Array | None) -> Array | None:
    """Return bytes as text, and anything else as it is."""
    if array is None or array.dtype.kind != "S":
        return array
    return np.char.decode(array.astype(np.bytes_), "latin-1")


def _description(array: Array) -> str:
    return f"{list(array.shape)} {array.dtype}"
