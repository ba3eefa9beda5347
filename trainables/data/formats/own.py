"""The user's own data, from one .npz file without pickles.

x        [all steps, features] numbers; [all steps] integers 0 … V-1 for next-token; [all steps,
         labels] of 0 and 1 for next-step. Sequences lie end to end.
lengths  [n] steps of each sequence; they sum to all steps
y        [n] classification: integers 0 … C-1; regression: numbers. Not for next-token, next-step.
split    [n] optional: 'train', 'val' or 'validation', 'test'. Without it the sequences are dealt
         60/20/20 by the seed, classes in proportion.
group    [n] optional: whole numbers or strings. Sequences of one group (a speaker, a patient) are
         never dealt to different parts.

With `standardise` (the default) features and regression targets get mean 0 and deviation 1 in the
training part; see trainables.data.scaling.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.tasks import OwnData, TaskInfo, TaskKind, is_causal
from trainables.data.formats.archive import read_arrays
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, grouped, select, stratified

SHARES = (0.6, 0.2, 0.2)
MIN_SEQUENCES = 5  # that can be dealt 60/20/20
SPLITS = {"train": 0, "val": 1, "validation": 1, "test": 2}
NAMES = ("train", "validation", "test")
MAX_VOCABULARY = 65536  # or the number of steps, if that is more; symbols enter one-hot

Array = NDArray[Any]  # of whatever type the user saved, until it is checked


def load(spec: OwnData, base: Path) -> Parts:
    """Return the splits of spec.data, a path relative to `base`. Raises InputError."""
    place = spec.data
    labelled = spec.kind in ("classification", "regression")
    arrays = read_arrays(
        spec.file(base),
        place,
        required=("x", "lengths", "y") if labelled else ("x", "lengths"),
        optional=("split", "group"),
    )
    lengths = _lengths(arrays["lengths"], len(np.atleast_1d(arrays["x"])), spec.kind, place)
    x = _steps(arrays["x"], lengths, spec.kind, place)
    y = _targets(arrays["y"], len(lengths), spec.kind, place) if labelled else None
    classes = y.astype(np.int64) if y is not None and spec.kind == "classification" else None
    group = _group(arrays["group"], len(lengths), place) if "group" in arrays else None
    if "split" in arrays:
        chosen = _given_split(arrays["split"], len(lengths), place)
        if group is not None:
            _check_whole(group, chosen, arrays["group"], place)
    else:
        chosen = _dealt_split(classes, group, len(lengths), spec.seed, place)
    outputs = 1
    if classes is not None:
        outputs = _check_classes(classes, chosen[0], place)
    elif spec.kind == "next-token":
        outputs = _vocabulary(x, place)
    elif spec.kind == "next-step":
        outputs = x.shape[1]
    inputs = outputs if spec.kind == "next-token" else x.shape[1]
    parts = (select(x, lengths, y, part) for part in chosen)
    order = np.concatenate(chosen)
    dealing = Dealing(
        # Sequences of a text or a series follow one another, unless their groups say otherwise.
        "stretches" if is_causal(spec.kind) and group is None else "sequences",
        official_test="split" in arrays,
        group=None if group is None else group[order],
        order=order,
    )
    return Parts(Path(spec.data).stem, spec.kind, inputs, outputs, *parts, dealing=dealing)


def read_sequences(path: Path, info: TaskInfo) -> Sequences:
    """Return the sequences x, lengths of an .npz file, to be given to a model trained on `info`.

    y, split and group may be in the file and are not read. Raises InputError where load would, and
    where the features or symbols are not those of the task.
    """
    place = path.name
    arrays = read_arrays(path, place, ("x", "lengths"), optional=("y", "split", "group"))
    lengths = _lengths(arrays["lengths"], len(np.atleast_1d(arrays["x"])), None, place)
    x = _steps(arrays["x"], lengths, info.kind, place)
    if info.kind == "next-token":
        if int(x.max()) >= info.inputs:
            at = int(np.argmax(x >= info.inputs))
            raise InputError.of(
                f"{place}: x[{at}]",
                f"symbols must be 0 to {info.inputs - 1}, as in training; this one is {int(x[at])}",
                "encode the data as the training data was",
            )
    elif x.shape[1] != info.inputs:
        raise InputError.of(
            f"{place}: x",
            f"x must have {info.inputs} features a step, as in training, not {x.shape[1]}",
            "give the features that the model was trained on, in their order",
        )
    return Sequences(x, lengths)


def _lengths(lengths: Array, steps: int, kind: TaskKind | None, place: str) -> NDArray[np.int64]:
    """Return the lengths, checked against the steps of x. kind None: no targets are needed."""
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
    least = 2 if kind is not None and is_causal(kind) else 1
    at = _first((lengths < least) | (lengths > steps))
    if at is not None:
        reason = "to have a step to predict " if least == 2 else ""
        raise InputError.of(
            f"{place}: lengths[{at}]",
            f"a sequence must have at least {least} step{'s' * (least > 1)} {reason}and at most "
            f"the {steps} of x; this one has {int(lengths[at])}",
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


def _steps(x: Array, lengths: NDArray[np.int64], kind: TaskKind, place: str) -> Array:
    """Return x as the kind of task has it: float32 features or int64 symbols."""
    if kind == "next-token":
        if x.ndim != 1 or x.dtype.kind not in "iu":
            raise InputError.of(
                f"{place}: x",
                f"x must be [all steps] integers for next-token, not {_description(x)}",
                "encode the symbols as integers 0 … V-1: "
                "_, x = numpy.unique(symbols, return_inverse=True)",
            )
        at = _first((x < 0) | (x > np.iinfo(np.int32).max))
        if at is not None:
            raise InputError.of(
                _where(place, at, lengths),
                f"symbols must be integers 0 … V-1; this one is {int(x[at])}",
                "encode the symbols as integers 0 … V-1: "
                "_, x = numpy.unique(symbols, return_inverse=True)",
            )
        return x.astype(np.int64)
    if x.ndim != 2 or x.shape[1] == 0 or x.dtype.kind not in "fiub":
        raise InputError.of(
            f"{place}: x",
            f"x must be [all steps, features] numbers for {kind}, not {_description(x)}",
            "with one feature: x.reshape(-1, 1); with padded sequences [n, T, features]: "
            "cut off the padding and lay them end to end",
        )
    with np.errstate(over="ignore"):  # what does not fit into float32 is refused just below
        values = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        at, feature = (int(i) for i in np.argwhere(~finite)[0])
        raise InputError.of(
            _where(place, at, lengths, feature),
            f"features must be finite numbers of at most {np.finfo(np.float32).max:.1e}; this one "
            f"is {x[at, feature]} ({int((~finite).sum())} such values in "
            f"{int((~finite).any(1).sum())} steps)",
            "fill the gaps or leave such sequences out",
        )
    if kind == "next-step":
        odd = (values != 0) & (values != 1)
        if odd.any():
            at, label = (int(i) for i in np.argwhere(odd)[0])
            raise InputError.of(
                _where(place, at, lengths, label),
                f"next-step frames must be 0 or 1 for each label; this one is {x[at, label]}",
                "threshold the frames: x = (x > 0).astype(numpy.uint8)",
            )
    return values


def _targets(y: Array, n: int, kind: TaskKind, place: str) -> Array:
    """Return y as int64 classes or float32 targets."""
    if y.shape != (n,):
        remedy = "give one label or target for each sequence, in the order of lengths"
        if y.shape == (n, 1):
            remedy = "y.ravel()"
        elif y.ndim == 2 and len(y) == n and kind == "classification":
            remedy = "of one-hot labels: y.argmax(1)"
        raise InputError.of(
            f"{place}: y",
            f"y must be [n], one for each of the {n} sequences; this is {_description(y)}",
            remedy,
        )
    if kind == "classification":
        if y.dtype.kind not in "iu":
            raise InputError.of(
                f"{place}: y",
                f"classes must be integers 0 … C-1, not {_description(y)}",
                "_, y = numpy.unique(labels, return_inverse=True)",
            )
        at = _first((y < 0) | (y > np.iinfo(np.int32).max))
        if at is not None:
            raise InputError.of(
                f"{place}: y[{at}]",
                f"classes must be integers 0 … C-1; this one is {int(y[at])}",
                "_, y = numpy.unique(labels, return_inverse=True)",
            )
        return y.astype(np.int64)
    if y.dtype.kind not in "fiub":
        raise InputError.of(
            f"{place}: y",
            f"regression targets must be numbers, not {_description(y)}",
            "save y as an array of floating-point numbers",
        )
    with np.errstate(over="ignore"):
        values = y.astype(np.float32)
    at = _first(~np.isfinite(values))
    if at is not None:
        raise InputError.of(
            f"{place}: y[{at}]",
            f"targets must be finite numbers; this one is {y[at]}",
            "leave sequences without a target out",
        )
    return values


def _check_classes(y: NDArray[np.int64], train: NDArray[np.int64], place: str) -> int:
    """Return the number of classes, each of which occurs in training."""
    present = np.unique(y)
    if len(present) == 1:
        raise InputError.of(
            f"{place}: y",
            f"there must be at least two classes; all {len(y)} sequences have class {present[0]}",
            "check how y was made",
        )
    classes = int(present[-1]) + 1
    if classes != len(present):
        absent = next(label for label, seen in enumerate(present) if label != seen)
        raise InputError.of(
            f"{place}: y",
            f"classes must be integers 0 … C-1, each in use; the largest is {classes - 1}, "
            f"and {absent} does not occur",
            "_, y = numpy.unique(labels, return_inverse=True)",
        )
    missing = np.setdiff1d(present, y[train])
    if len(missing):
        listing = ", ".join(str(label) for label in missing[:10]) + ", …" * (len(missing) > 10)
        raise InputError.of(
            f"{place}: split",
            f"every class must occur in the training split; missing there: {listing}",
            "move a sequence of each such class to 'train', or leave split out",
        )
    return classes


def _vocabulary(x: Array, place: str) -> int:
    distinct, size = len(np.unique(x)), int(x.max()) + 1
    if distinct == 1:
        raise InputError.of(
            f"{place}: x",
            f"there must be at least two different symbols; all {len(x)} are {size - 1}",
            "check how x was made",
        )
    if size > max(MAX_VOCABULARY, len(x)):
        raise InputError.of(
            f"{place}: x",
            f"symbols must be integers 0 … V-1; the largest is {size - 1}, but only {distinct} "
            "different ones occur",
            "_, x = numpy.unique(symbols, return_inverse=True)",
        )
    return size


def _given_split(split: Array, n: int, place: str) -> list[NDArray[np.int64]]:
    if split.shape != (n,) or split.dtype.kind not in "US":
        raise InputError.of(
            f"{place}: split",
            f"split must be [n] names, one for each of the {n} sequences, not "
            f"{_description(split)}",
            "give 'train', 'val' (or 'validation') or 'test' for each sequence, or leave it out",
        )
    names = split.astype(np.str_) if split.dtype.kind == "U" else np.char.decode(
        split.astype(np.bytes_), "latin-1"
    )  # fmt: skip
    at = _first(~np.isin(names, list(SPLITS)))
    if at is not None:
        raise InputError.of(
            f"{place}: split[{at}]",
            f"a split must be 'train', 'val' or 'validation', or 'test', not {str(names[at])!r}",
            "rename it",
        )
    numbers = np.array([SPLITS[str(name)] for name in names], dtype=np.int64)
    parts = [np.flatnonzero(numbers == number).astype(np.int64) for number in range(len(NAMES))]
    empty = [name for name, part in zip(NAMES, parts, strict=True) if len(part) == 0]
    if empty:
        raise InputError.of(
            f"{place}: split",
            f"no split may be empty; no sequence is marked {' or '.join(empty)}",
            "mark some sequences so, or leave split out for a 60/20/20 split by the seed",
        )
    return parts


def _dealt_split(
    classes: NDArray[np.int64] | None,
    group: NDArray[np.int64] | None,
    n: int,
    seed: int,
    place: str,
) -> list[NDArray[np.int64]]:
    labels = np.zeros(n, dtype=np.int64) if classes is None else classes
    rng = np.random.default_rng(seed)
    if group is not None:
        return grouped(group, labels, SHARES, rng, f"{place}: group")
    parts = stratified(labels, SHARES, rng)
    if n < MIN_SEQUENCES or min(map(len, parts)) == 0:
        raise InputError.of(
            f"{place}: lengths",
            "without split the sequences are dealt 60/20/20, one of each class to training first, "
            f"and no part may be empty; {n} sequences"
            + (f" of {len(np.unique(labels))} classes" if classes is not None else "")
            + " are too few",
            "give more sequences (cut long ones into windows), or a split of your own",
        )
    return parts


def _group(group: Array, n: int, place: str) -> NDArray[np.int64]:
    """Return the groups as numbers from 0."""
    if group.shape != (n,) or group.dtype.kind not in "iuUS":
        raise InputError.of(
            f"{place}: group",
            f"group must be [n] whole numbers or strings, one for each of the {n} sequences, not "
            f"{_description(group)}",
            "give whose sequence each one is, or leave group out",
        )
    _, numbers = np.unique(group, return_inverse=True)
    return numbers.astype(np.int64)


def _check_whole(
    group: NDArray[np.int64], chosen: list[NDArray[np.int64]], names: Array, place: str
) -> None:
    """Raise InputError where the given split tears a group apart."""
    part_of = np.empty(len(group), dtype=np.int64)
    for number, part in enumerate(chosen):
        part_of[part] = number
    _, first = np.unique(group, return_index=True)
    at = _first(part_of != part_of[first][group])
    if at is not None:
        name = names[at].decode("latin-1") if names.dtype.kind == "S" else names[at].item()
        other = NAMES[part_of[first[group[at]]]]
        raise InputError.of(
            f"{place}: split[{at}]",
            f"all sequences of a group must be in one split; group {name!r} is in {other} and in "
            f"{NAMES[part_of[at]]}",
            "move the whole group to one of them, or leave split out",
        )


def _where(place: str, step: int, lengths: NDArray[np.int64], feature: int | None = None) -> str:
    """Return the place of a step of x, by position in the array and by sequence."""
    ends = np.cumsum(lengths)
    sequence = int(np.searchsorted(ends, step, side="right"))
    within = step - int(ends[sequence] - lengths[sequence])
    if feature is None:
        return f"{place}: x[{step}] (sequence {sequence}, step {within})"
    return f"{place}: x[{step}, {feature}] (sequence {sequence}, step {within}, feature {feature})"


def _first(wrong: NDArray[np.bool_]) -> int | None:
    """Return the first position that is marked, or None."""
    return int(np.argmax(wrong)) if wrong.any() else None


def _description(array: Array) -> str:
    return f"{list(array.shape)} {array.dtype}"
