"""What own data of any format must be: finite values, known splits, classes in training."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, has_classes, is_causal, predicts_itself
from spaces.own_data import Missing
from trainables.data.formats.feature_check import FeatureCheck, Odd
from trainables.data.formats.ragged import Array, Places, Ragged, first
from trainables.data.rows import blocks, stretches

SPLITS = {"train": 0, "val": 1, "validation": 1, "test": 2}
NAMES = ("train", "validation", "test")
MAX_VOCABULARY = 65536  # or the number of steps, if that is more; symbols enter one-hot


def steps(
    ragged: Ragged, kind: TaskKind, least: int | None = None, missing: Missing = "refuse"
) -> Array:
    """Return x as the kind of task has it: float32 features or int64 symbols.

    least: the steps that a sequence must have; by default what training needs. missing: where it
    is not refuse, NaN stays where a value is missing.
    """
    x, places = ragged.x, ragged.places
    trained, least = least is None, least or (2 if is_causal(kind) else 1)
    at = first(ragged.lengths < least)
    if at is not None:
        raise InputError.of(
            places.of("lengths", at),
            f"a sequence must have at least {least} steps to have a step to predict; this one has "
            f"{int(ragged.lengths[at])}",
            "leave such sequences out, or correct their length",
        )
    if kind == "next-token":
        at = first((x < 0) | (x > np.iinfo(np.int32).max))
        if at is not None:
            raise InputError.of(
                places.step(at),
                f"symbols must be integers 0 … V-1; this one is {int(x[at])}",
                "encode the symbols as integers 0 … V-1: "
                "_, x = numpy.unique(symbols, return_inverse=True)",
            )
        return x.astype(np.int64, copy=False)
    if ragged.checked is not None:
        _refuse(ragged.checked, places, fillable=trained and not predicts_itself(kind))
        return x
    values = _short(x, canonical=missing != "refuse")
    check = FeatureCheck(kind, missing)
    for stretch in stretches(values):
        check.look(values[stretch], np.arange(stretch.start, stretch.stop))
    _refuse(check, places, fillable=trained and not predicts_itself(kind), x=x)
    return values


def _refuse(check: FeatureCheck, places: Places, *, fillable: bool, x: Array | None = None) -> None:
    """Raise InputError for what a check has found.

    fillable: whether a job file can have missing values filled. x: as the file has the values.
    """

    def shown(odd: Odd) -> tuple[str, Any]:
        assert odd.at is not None
        return places.step(*odd.at), odd.value if x is None else x[odd.at]

    if (odd := check.absent).at is not None:
        raise _missing(odd, shown(odd)[0], fillable=fillable)
    if (odd := check.infinite).at is not None:
        number = f" ({odd.values} such values in {odd.steps} steps)"
        raise not_finite(*shown(odd), number)
    if (odd := check.no_frame).at is not None:
        place, value = shown(odd)
        raise InputError.of(
            place,
            f"next-step frames must be 0 or 1 for each label; this one is {value}",
            "threshold the frames: 1 where x > 0, otherwise 0",
        )


def not_finite(place: str, value: float, number: str = "") -> InputError:
    """Return the error that a feature has no value in float32. number: of such values, in words."""
    return InputError.of(
        place,
        f"features must be finite numbers of at most {np.finfo(np.float32).max:.1e}; this one "
        f"is {value}{number}",
        "fill the gaps or leave such sequences out",
    )


def _short(x: Array, *, canonical: bool) -> NDArray[np.float32]:
    """Return features as float32: x itself where it is that.

    canonical: NaN is to be of one bit pattern, the same from all formats.
    """
    nan = np.float32(np.nan)
    if x.dtype == np.float32 and x.flags.c_contiguous and x.flags.aligned:
        marks = (block.view(np.uint32)[np.isnan(block)] for block in blocks(x))
        if not canonical or all((mark == nan.view(np.uint32)).all() for mark in marks):
            own: NDArray[np.float32] = x
            return own
    values = np.empty(x.shape, np.float32)
    with np.errstate(over="ignore"):  # the caller refuses what does not fit into float32
        for stretch in stretches(x):
            values[stretch] = x[stretch]
            np.copyto(values[stretch], nan, where=np.isnan(values[stretch]))
    return values


def _missing(odd: Odd, place: str, *, fillable: bool) -> InputError:
    """Return the error that values are missing.

    fillable: whether a job file can have them filled.
    """
    more = f" ({odd.values} such values in {odd.steps} steps)" if odd.values > 1 else ""
    remedy = "fill the gaps, or leave such sequences out"
    if fillable:
        remedy = (
            "have them filled by data: {file: …, missing: forward}, or mean or mask; or " + remedy
        )
    rule = f"every step must have a value; here it is missing{more}"
    return InputError.of(place, rule, remedy)


def targets(y: Array, kind: TaskKind, places: Places) -> Array:
    """Return y as int64 classes or float32 targets."""
    if has_classes(kind):
        return y.astype(np.int64)
    with np.errstate(over="ignore"):
        values = y.astype(np.float32)
    each = values.reshape(len(values), -1)
    odd = ((each != 0) & (each != 1)).any(axis=-1)
    if kind == "multi-label" and odd.any():
        wrong = int(np.argmax(odd))
        rule = f"each label must be 0 or 1; here are {y[wrong].tolist()}"
        raise InputError.of(places.of("y", wrong), rule, "write 1 where a label holds, otherwise 0")
    wrong = ~np.isfinite(each).min(axis=1)
    if (at := first(wrong)) is not None:
        more = f" ({int(wrong.sum())} such targets)" if wrong.sum() > 1 else ""
        raise InputError.of(
            places.of("y", at),
            f"targets must be finite numbers; this one is {y[at]}{more}",
            "leave sequences without a target out",
        )
    return values


def check_classes(y: NDArray[np.int64], trained: NDArray[np.int64], ragged: Ragged) -> int:
    """Return the number of classes, each of which occurs in training: y and those of training."""
    present, labels = np.unique(y), ragged.labels
    if len(present) == 1:
        of = "sequences" if len(y) == len(ragged.lengths) else "steps"
        raise InputError.of(
            ragged.places.whole("y"),
            f"there must be at least two classes; all {len(y)} {of} have class "
            f"{0 if labels is None else labels[0]}",
            "check how the classes were made",
        )
    missing = np.setdiff1d(present, trained)
    if len(missing):
        names = [str(code if labels is None else labels[code]) for code in missing[:10]]
        listing = ", ".join(names) + ", …" * (len(missing) > 10)
        raise InputError.of(
            ragged.places.whole("split"),
            f"every class must occur in the training split; missing there: {listing}",
            "move a sequence of each such class to 'train', or leave split out",
        )
    return len(present)


def vocabulary(x: Array, ragged: Ragged) -> int:
    """Return the number of symbols, 0 … V-1."""
    found = np.unique(np.concatenate([np.unique(block) for block in blocks(x)]))
    distinct, size = len(found), int(found[-1]) + 1
    if distinct == 1:
        only = size - 1 if ragged.labels is None else ragged.labels[0]
        raise InputError.of(
            ragged.places.whole("x"),
            f"there must be at least two different symbols; all {len(x)} are {only}",
            "check how x was made",
        )
    if size > max(MAX_VOCABULARY, len(x)):
        raise InputError.of(
            ragged.places.whole("x"),
            f"symbols must be integers 0 … V-1; the largest is {size - 1}, but only {distinct} "
            "different ones occur",
            "_, x = numpy.unique(symbols, return_inverse=True)",
        )
    return size


def part_of_each(split: Array, places: Places) -> list[NDArray[np.int64]]:
    """Return the sequences of training, validation and test part that the user's split says."""
    at = first(~np.isin(split, list(SPLITS)))
    if at is not None:
        raise InputError.of(
            places.of("split", at),
            f"a split must be 'train', 'val' or 'validation', or 'test', not {str(split[at])!r}",
            "rename it",
        )
    numbers = np.array([SPLITS[str(name)] for name in split], dtype=np.int64)
    parts = [np.flatnonzero(numbers == number).astype(np.int64) for number in range(len(NAMES))]
    empty = [name for name, part in zip(NAMES, parts, strict=True) if len(part) == 0]
    if empty:
        raise InputError.of(
            places.whole("split"),
            f"no split may be empty; no sequence is marked {' or '.join(empty)}",
            "mark some sequences so, or leave split out for a 60/20/20 split by the seed",
        )
    return parts


def check_whole(group: NDArray[np.int64], chosen: list[NDArray[np.int64]], ragged: Ragged) -> None:
    """Raise InputError where the given split tears a group apart."""
    assert ragged.group is not None
    part_of = np.empty(len(group), dtype=np.int64)
    for number, part in enumerate(chosen):
        part_of[part] = number
    _, begins = np.unique(group, return_index=True)
    at = first(part_of != part_of[begins][group])
    if at is not None:
        other = NAMES[part_of[begins[group[at]]]]
        raise InputError.of(
            ragged.places.of("split", at),
            f"all sequences of a group must be in one split; group {ragged.group[at].item()!r} is "
            f"in {other} and in {NAMES[part_of[at]]}",
            "move the whole group to one of them, or leave split out",
        )
