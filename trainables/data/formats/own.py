"""The user's own data, of any format: checked, and dealt to training, validation and test part.

Without a split of the user's the sequences are dealt 60/20/20 by the seed, classes in proportion.
Sequences of one group (a speaker, a patient) are never dealt to different parts.

With `standardise` (the default) features and regression targets get mean 0 and deviation 1 in the
training part; see trainables.data.scaling.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.forecast import LeftOut
from spaces.kinds import TaskKind, has_classes, is_causal, is_stepwise
from spaces.own_data import CLASS, SUFFIXES, DataSection
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from spaces.text import listed, show
from trainables.data import transforms
from trainables.data.formats import (
    folder,
    forecasting,
    long_form,
    npz,
    official_test,
    python_class,
    ts,
    txt,
)
from trainables.data.formats.checks import check_classes, check_whole, part_of_each, steps, targets
from trainables.data.formats.checks import vocabulary as check_vocabulary
from trainables.data.formats.ragged import Array, Places, Ragged, first
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.missing import features, told, told_width, transformed
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, consecutive, grouped, stratified


class Format(Protocol):
    """How files of one ending are read; a module each."""

    def read(self, path: Path, data: DataSection, kind: TaskKind) -> Ragged:
        """Return the data of a file for a task of a kind. Raises InputError."""

    def read_new(self, path: Path, info: TaskInfo) -> Ragged:
        """Return sequences for a model, y as the file has it. Raises InputError."""


#: One row for each of spaces.own_data.SUFFIXES, one for folders and one for classes.
FORMATS: dict[str, Format] = {
    ".npz": npz,
    ".ts": ts,
    ".txt": txt,
    ".csv": long_form,
    ".parquet": long_form,
    "": folder,
    CLASS: python_class,
}
SHARES = (0.6, 0.2, 0.2)
SHARES_BESIDE_TEST = (0.75, 0.25)  #: of the file beside that of the test part
MIN_SEQUENCES = 5  # that can be dealt 60/20/20


def load(spec: OwnData, base: Path) -> Parts:
    """Return the splits of spec.data, a path relative to `base`. Raises InputError."""
    return _load(spec, base, keep=True)


def check(spec: OwnData, base: Path) -> tuple[tuple[LeftOut, ...], int]:
    """Return what `load` would leave out, and how many sequences or windows it would train on.

    Raises InputError as it does.

    The numbers of a single table are looked at and not kept: it may be larger than the memory.
    """
    found = _load(spec, base, keep=False)
    return found.left_out, len(found.train)


def _load(spec: OwnData, base: Path, *, keep: bool) -> Parts:
    """Return the splits. keep: whether features are to be in memory."""
    reader, test = FORMATS[spec.data.suffix], spec.data.test_path(base)
    if spec.data.vocabulary != "characters":
        shares = SHARES if test is None else SHARES_BESIDE_TEST
        return txt.with_trained_vocabulary(spec, spec.data.path(base), test, shares)
    path = spec.data.path(base)
    if keep or test is not None or not spec.data.is_table:
        ragged = reader.read(path, spec.data, spec.kind)
    else:
        ragged = long_form.read(path, spec.data, spec.kind, keep=False)
    own = len(ragged.lengths)  # sequences of the first file
    if test is not None:
        info = replace(official_test.info_of(ragged, spec.kind), gaps=spec.data.time_gaps)
        ragged = official_test.joined(ragged, reader.read_new(test, info), spec.kind, test)
    places, lengths, kind, missing = ragged.places, ragged.lengths, spec.kind, spec.data.missing
    x = steps(ragged, kind, missing=missing)
    if kind == "forecasting":
        return forecasting.windows_of(spec, ragged, x)
    gap = ragged.gap if spec.data.time_gaps else None
    transforms.check(x, spec.transform, places)
    _check_size(x, spec, gaps=gap is not None)
    if ragged.checked is None:
        x = transforms.transformed(x, spec.transform)
        ragged = replace(ragged, x=x)  # what was read is needed no more
        x = told(x, lengths, missing, gap)
        ragged = replace(ragged, x=x)
    y = None if ragged.y is None else targets(ragged.y, kind, places)
    classes = y.astype(np.int64) if y is not None and has_classes(kind) else None
    group = None
    if ragged.group is not None:
        group = np.unique(ragged.group, return_inverse=True)[1].astype(np.int64)
    if ragged.split is not None and test is None:
        chosen = part_of_each(ragged.split, places)
    else:
        shares = SHARES if test is None else SHARES_BESIDE_TEST
        labels = classes[:own] if classes is not None and not is_stepwise(kind) else None
        groups = None if group is None else group[:own]
        chosen = _dealt_split(
            labels, groups, own, spec.seed, places, shares, in_order=ragged.in_order
        )
        chosen += [np.arange(own, len(lengths))] * (test is not None)
    if group is not None:
        check_whole(group, chosen, ragged)
    outputs = 1 if y is None or y.ndim == 1 else y.shape[1]
    stepwise = is_stepwise(kind) and y is not None
    offsets = _offsets(ragged)
    if offsets is not None:
        offsets[own:] += 2  # of another file
    # All parts are read from one x: it is in memory once, and is not cut to pieces.
    whole = Sequences(x, lengths, y, stepwise=stepwise, offsets=offsets)
    parts = [whole.chosen(part) for part in chosen]
    if classes is not None:
        trained = parts[0].step_targets() if stepwise else classes[chosen[0]]
        outputs = check_classes(classes, trained.astype(np.int64), ragged)
    elif kind == "next-token":
        outputs = check_vocabulary(x, ragged)
    elif kind == "next-step":
        outputs = x.shape[1]
    inputs = outputs if kind == "next-token" else x.shape[1]
    order = np.concatenate(chosen)
    dealing = Dealing(
        # Sequences of a text or a series follow one another, unless their groups say otherwise.
        "stretches" if is_causal(kind) and group is None else "sequences",
        official_test=ragged.split is not None or test is not None,
        group=None if group is None else group[order],
        order=order,
    )
    return Parts(
        spec.label,
        kind,
        inputs,
        outputs,
        *parts,
        dealing=dealing,
        labels=ragged.labels,
        columns=ragged.columns,
        missing=missing,
        gaps=gap is not None,
        transform=spec.transform,
    )


def read_series(spec: OwnData, base: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return what is forecast of all series, end to end [steps], and their lengths [series].

    Raises InputError.
    """
    ragged = FORMATS[spec.data.suffix].read(spec.data.path(base), spec.data, spec.kind)
    return steps(ragged, spec.kind, missing=spec.data.missing)[:, 0], ragged.lengths


def _check_size(x: Array, spec: OwnData, *, gaps: bool) -> None:
    """Raise InputError where features and what is made of them do not fit into memory together."""
    if x.ndim == 1:
        return
    steps, width = x.shape
    told = told_width(width, spec.data.missing, gaps=gaps)
    is_copied = told > width or spec.data.missing == "forward"
    copied = max(width if spec.transform is not None else 0, told if is_copied else 0)
    refuse_unless_it_fits(
        x.nbytes + steps * 4 * copied, spec.data.file, "use less data, or fewer features"
    )


def read_new(path: Path, info: TaskInfo) -> tuple[Sequences, Ragged]:
    """Return the sequences of a file, to be given to a model trained on `info`, and what it holds.

    Targets, split and group may be in the file; the targets are as it has them. Raises InputError
    where load would, and where the features or symbols are not those of the task.
    """
    place, suffix = path.name, path.suffix.lower()
    if suffix not in FORMATS:
        rule = (
            f"data must be a folder, or a file in {listed(SUFFIXES, 'or')}, not {show(path.name)}"
        )
        raise InputError.of(place, rule, "write a table as .csv or .parquet")
    ragged = FORMATS[suffix].read_new(path, info)
    if info.ahead.future:
        ragged = forecasting.with_future(ragged, info)
    if info.kind != "next-token" and ragged.x.shape[1] != features(info):
        raise InputError.of(
            f"{place}: x",
            f"x must have {features(info)} features a step, as in training, not "
            f"{ragged.x.shape[1]}",
            "give the features that the model was trained on, in their order",
        )
    x = steps(ragged, info.kind, least=1, missing=info.missing)
    if info.kind == "next-token" and int(x.max()) >= info.inputs:
        at = int(np.argmax(x >= info.inputs))
        raise InputError.of(
            f"{place}: x[{at}]",
            f"symbols must be 0 to {info.inputs - 1}, as in training; this one is {int(x[at])}",
            "encode the data as the training data was",
        )
    if info.transform is not None:
        transforms.check(x[:, : transformed(info)], info.transform, ragged.places)
    if info.gaps:
        if ragged.gap is None:
            rule = "times of steps must be there, which the model reads; this format has none"
            raise InputError.of(place, rule, "write an .npz with time, or the table of training")
        x = np.column_stack([x, ragged.gap])
    told = ragged.characters
    found = Sequences(x, ragged.lengths, offsets=_offsets(ragged), characters=told)
    if info.kind == "forecasting":
        unread = info.ahead.unread
        _check_long_enough(ragged, unread)
        found = forecasting.latest(found, info.longest + unread)
    return found, ragged


def _check_long_enough(ragged: Ragged, unread: int) -> None:
    at = first(ragged.lengths <= unread)
    if at is not None:
        rule = f"a series must have more than {unread} steps, since its differences over {unread} "
        rule += f"steps are read; this one has {int(ragged.lengths[at])}"
        raise InputError.of(ragged.places.of("lengths", at), rule, "give more of it")


def _offsets(ragged: Ragged) -> NDArray[np.int64] | None:
    """Return where windows of a text begin in it: with the last symbol of the one before."""
    if not ragged.in_order:
        return None
    offsets: NDArray[np.int64] = np.cumsum(ragged.lengths - 1) - (ragged.lengths - 1)
    return offsets


def _dealt_split(
    classes: NDArray[np.int64] | None,
    group: NDArray[np.int64] | None,
    n: int,
    seed: int,
    places: Places,
    shares: Sequence[float],
    *,
    in_order: bool,
) -> list[NDArray[np.int64]]:
    if in_order:
        parts = [np.arange(part.start, part.stop) for part in consecutive(n, shares)]
        if min(map(len, parts)) == 0:
            rule = f"a text must have windows for all parts; it has {n} of them"
            raise InputError.of(places.whole("x"), rule, "give more text, or a smaller window")
        return parts
    labels = np.zeros(n, dtype=np.int64) if classes is None else classes
    rng = np.random.default_rng(seed)
    if group is not None:
        return grouped(group, labels, shares, rng, places.whole("group"))
    dealt = "/".join(f"{share:.0%}".rstrip("%") for share in shares)
    parts = stratified(labels, shares, rng)
    if n < MIN_SEQUENCES or min(map(len, parts)) == 0:
        raise InputError.of(
            places.whole("lengths"),
            f"without split the sequences are dealt {dealt}, one of each class to training first, "
            f"and no part may be empty; {n} sequences"
            + (f" of {len(np.unique(labels))} classes" if classes is not None else "")
            + " are too few",
            "give more sequences (cut long ones into windows), or a split of your own",
        )
    return parts
