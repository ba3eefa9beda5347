"""What is likely to make a comparison worth less: leakage, gaps in time, too little data."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import several
from spaces.text import listed, named
from trainables.data.formats.own import SHARES
from trainables.data.formats.ragged import Array
from trainables.data.formats.table import Column, Table
from trainables.data.inspection.roles import OF_SEQUENCES, Roles
from trainables.data.inspection.rows import (
    SequenceRows,
    along,
    counted,
    is_steady,
    reading_order,
    sequence_rows,
)

_DIGEST = 16  # bytes
_GAP = 3.0  # times the median step in time
FEW_FOR_TEST = 50  #: sequences: one more or less predicted well is 2 % of accuracy
FEW_GROUPS = 10
FEW_OF_CLASS = 5  #: sequences: of which one is for test


def leakage(table: Table, roles: Roles, sequences: SequenceRows) -> Iterator[str]:
    """Yield what could tell a model the answer, or show it test data in training."""
    for name in roles.telling:
        yield (
            f"{named(name)} tells {listed(map(named, roles.targets), 'or')}: each of its values "
            "goes with one "
            "target; it is left out of features"
        )
    for role, what in (("split", "part"), ("target", "target"), ("group", "group")):
        for name in several(roles.parts.get(role)):
            if role == "target" and roles.kind not in OF_SEQUENCES:
                continue
            if not is_steady(table.columns[name], sequences):
                yield f"rows of one sequence differ in {named(name)}, their {what}"
    if roles.kind == "forecasting":
        return
    _, same_N, counts = np.unique(
        _digests(table, roles, sequences), return_inverse=True, return_counts=True
    )
    more = int((counts - 1).sum())
    if not more:
        return
    if (split := roles.one("split")) is not None:
        _, part_N = np.unique(table.columns[split].values[sequences.begins], return_inverse=True)
        there = np.unique(np.stack([same_N, part_N]), axis=1)  # which copies are in which part
        across = int((np.bincount(there[0]) > 1).sum())
        if across:
            yield f"{across} sequences have exact copies in another part of the split: remove them"
            return
    yield (
        f"{more} {'sequences are copies' if more > 1 else 'sequence is a copy'} of others: dealt "
        "one by one, they may be in training and in test; remove them, or name a group"
    )


def of_test_file(table: Table, test: Table, roles: Roles) -> Iterator[str]:
    """Yield where sequences of a separate test file are also in the first one."""
    ours, theirs = (
        _digests(each, roles, sequence_rows(each, roles.one("id"))) for each in (table, test)
    )
    number = int(np.isin(theirs, ours).sum())
    if number:
        are = "sequences of the test file are" if number > 1 else "sequence of the test file is"
        yield f"{number} {are} in the other file as well: remove them there"


def _digests(table: Table, roles: Roles, sequences: SequenceRows) -> Array:
    """Return a text of 16 bytes of each sequence [n], equal where their features are."""
    order = reading_order(sequences, _time_of(table, roles))
    ends = np.cumsum(sequences.lengths).tolist()
    found = [blake2b(str(length).encode()).digest()[:_DIGEST] for length in sequences.lengths]
    for name in roles.features:
        values = _comparable(table.columns[name])
        values = values if order is None else values[order]
        begin = 0
        for sequence, end in enumerate(ends):
            digest = blake2b(found[sequence], digest_size=_DIGEST)
            digest.update(values[begin:end].tobytes())
            found[sequence], begin = digest.digest(), end
    return np.array(found, f"S{_DIGEST}")


def _comparable(column: Column) -> Array:
    """Return values that are equal in two files where the files are: text by its own hash."""
    if column.kind == "text":
        texts = [blake2b(text.encode(), digest_size=8).digest() for text in column.categories]
        hashes = np.array([int.from_bytes(text, "little") for text in texts] or [0], np.uint64)
        return hashes[column.values]
    with np.errstate(over="ignore"):
        short = column.values.astype(np.float32)  # a copy
    short[column.missing] = np.nan
    return short


def of_time(table: Table, roles: Roles, sequences: SequenceRows) -> Iterator[str]:
    """Yield what is odd about the times of steps."""
    if (time := roles.one("time")) is None:
        return
    column = table.columns[time]
    name = named(column.name)
    if column.kind == "text" or column.missing.any():
        return
    values, in_file = column.values, sequences.order
    if any(bool((step < 0).any()) for step in along(values, sequences, in_file)):
        yield f"rows do not lie in the order of {name}: they are sorted by it"
    steps, counts = counted(along(values, sequences, reading_order(sequences, column)))
    twice = int(counts[steps == 0].sum())
    if twice:
        yield f"{twice} steps have the same {name} as the one before: their order is the file's"
    steps, counts = steps[steps > 0], counts[steps > 0]
    if len(steps):
        gaps = int(counts[steps > _GAP * _median(steps, counts)].sum())
        if gaps:
            yield (
                f"{gaps} gaps in {name}, of more than {_GAP:g} times the usual step: a model sees "
                "the step after one as if it followed at once, unless data has time_gaps: true"
            )


def _median(values: Array, counts: NDArray[np.int64]) -> float:
    """Return the median of sorted values, each of which is there so often."""
    upto = np.cumsum(counts)
    middle = (int(upto[-1] - 1) // 2, int(upto[-1]) // 2)
    return float(np.mean(values[np.searchsorted(upto, middle, side="right")]))


def too_little(
    table: Table, roles: Roles, sequences: SequenceRows, tested: int | None = None
) -> Iterator[str]:
    """Yield where a verdict will hardly be reached for want of sequences.

    tested: sequences of a separate test file.
    """
    if roles.kind == "forecasting":
        steps = round(table.rows * SHARES[2])
        if steps < FEW_FOR_TEST:
            yield f"too few steps for a sure verdict: about {steps} are for test, of {table.rows}"
        return
    begins = sequences.begins
    n = len(begins)
    for_test, of = (round(n * SHARES[2]), n) if tested is None else (tested, n + tested)
    if (split := roles.one("split")) is not None:
        part = table.columns[split].plain(begins)
        for_test = int((part == "test").sum())
    if for_test < FEW_FOR_TEST:
        yield (
            f"too few sequences for a sure verdict: about {for_test} are for test, of {of}; one of "
            f"them is {1 / max(for_test, 1):.1%} of what is measured"
        )
    if (group := roles.one("group")) is not None:
        groups = len(np.unique(table.columns[group].values[begins]))
        if groups < FEW_GROUPS:
            yield (
                f"only {groups} groups in {named(group)}, each wholly in one part: "
                "leave group out if sequences of one need not stay together"
            )
    if roles.kind == "classification":
        labels, counts = np.unique(
            table.columns[roles.targets[0]].plain(begins), return_counts=True
        )
        rare = [
            str(label) for label, count in zip(labels, counts, strict=True) if count < FEW_OF_CLASS
        ]
        if rare:
            shown = ", ".join(named(label) for label in rare[:5]) + ", …" * (len(rare) > 5)
            yield f"classes with fewer than {FEW_OF_CLASS} sequences: {shown}"


def _time_of(table: Table, roles: Roles) -> Column | None:
    time = roles.one("time")
    return None if time is None else table.columns[time]
