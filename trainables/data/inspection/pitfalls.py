"""What is likely to make a comparison worth less: leakage, gaps in time, too little data."""

from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from spaces.own_data import several
from spaces.text import listed, named
from trainables.data.formats.own import SHARES
from trainables.data.formats.ragged import Array
from trainables.data.formats.table import Column, Table
from trainables.data.inspection.roles import OF_SEQUENCES, Roles, is_steady, sequence_of_rows

Rows = NDArray[np.int64]  # [rows] the sequence of each row
_GAP = 3.0  # times the median step in time
FEW_FOR_TEST = 50  #: sequences: one more or less predicted well is 2 % of accuracy
FEW_GROUPS = 10
FEW_OF_CLASS = 5  #: sequences: of which one is for test


def leakage(table: Table, roles: Roles, sequence_R: Rows) -> Iterator[str]:
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
            if not is_steady(table.columns[name], sequence_R):
                yield f"rows of one sequence differ in {named(name)}, their {what}"
    if roles.kind == "forecasting":
        return
    copies = [same for same in _same(table, roles, sequence_R).values() if len(same) > 1]
    if not copies:
        return
    more = sum(len(same) - 1 for same in copies)
    _, begins = np.unique(sequence_R, return_index=True)
    if (split := roles.one("split")) is not None:
        part_of = table.columns[split].values[begins]
        across = sum(len(np.unique(part_of[same])) > 1 for same in copies)
        if across:
            yield f"{across} sequences have exact copies in another part of the split: remove them"
            return
    yield (
        f"{more} {'sequences are copies' if more > 1 else 'sequence is a copy'} of others: dealt "
        "one by one, they may be in training and in test; remove them, or name a group"
    )


def of_test_file(table: Table, test: Table, roles: Roles) -> Iterator[str]:
    """Yield where sequences of a separate test file are also in the first one."""
    found = [_same(each, roles, sequence_of_rows(each, roles.one("id"))) for each in (table, test)]
    number = sum(len(found[1][digest]) for digest in found[0].keys() & found[1].keys())
    if number:
        are = "sequences of the test file are" if number > 1 else "sequence of the test file is"
        yield f"{number} {are} in the other file as well: remove them there"


def _same(table: Table, roles: Roles, sequence_R: Rows) -> dict[bytes, list[int]]:
    """Return the sequences by what their features hold."""
    order = _in_order(table, roles, sequence_R)
    columns = [_comparable(table.columns[name])[order] for name in roles.features]
    ends = np.cumsum(np.bincount(sequence_R))
    same: dict[bytes, list[int]] = defaultdict(list)
    begin = 0
    for sequence, end in enumerate(ends.tolist()):
        digest = blake2b(digest_size=16)
        for column in columns:
            digest.update(np.ascontiguousarray(column[begin:end]).tobytes())
        digest.update(str(end - begin).encode())
        same[digest.digest()].append(sequence)
        begin = end
    return same


def _comparable(column: Column) -> Array:
    """Return values that are equal in two files where the files are: text by its own hash."""
    if column.kind == "text":
        texts = [blake2b(text.encode(), digest_size=8).digest() for text in column.categories]
        hashes = np.array([int.from_bytes(text, "little") for text in texts] or [0], np.uint64)
        return hashes[column.values]
    return np.where(column.missing, np.nan, column.values).astype(np.float32)


def of_time(table: Table, roles: Roles, sequence_R: Rows) -> Iterator[str]:
    """Yield what is odd about the times of steps."""
    if (time := roles.one("time")) is None:
        return
    column = table.columns[time]
    name = named(column.name)
    if column.kind == "text" or column.missing.any():
        return
    in_file = np.argsort(sequence_R, kind="stable")
    within = np.diff(sequence_R[in_file]) == 0
    if (np.diff(column.values[in_file])[within] < 0).any():
        yield f"rows do not lie in the order of {name}: they are sorted by it"
    order = _in_order(table, roles, sequence_R)
    steps = np.diff(column.values[order])[within]
    twice = int((steps == 0).sum())
    if twice:
        yield f"{twice} steps have the same {name} as the one before: their order is the file's"
    if (steps > 0).any():
        usual = float(np.median(steps[steps > 0]))
        gaps = int((steps > _GAP * usual).sum())
        if gaps:
            yield (
                f"{gaps} gaps in {name}, of more than {_GAP:g} times the usual step: a model sees "
                "the step after one as if it followed at once, unless data has time_gaps: true"
            )


def too_little(
    table: Table, roles: Roles, begins: NDArray[np.int64], tested: int | None = None
) -> Iterator[str]:
    """Yield where a verdict will hardly be reached for want of sequences.

    tested: sequences of a separate test file.
    """
    if roles.kind == "forecasting":
        steps = round(table.rows * SHARES[2])
        if steps < FEW_FOR_TEST:
            yield f"too few steps for a sure verdict: about {steps} are for test, of {table.rows}"
        return
    n = len(begins)
    for_test, of = (round(n * SHARES[2]), n) if tested is None else (tested, n + tested)
    if (split := roles.one("split")) is not None:
        part = table.columns[split].plain()[begins]
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
            table.columns[roles.targets[0]].plain()[begins], return_counts=True
        )
        rare = [
            str(label) for label, count in zip(labels, counts, strict=True) if count < FEW_OF_CLASS
        ]
        if rare:
            shown = ", ".join(named(label) for label in rare[:5]) + ", …" * (len(rare) > 5)
            yield f"classes with fewer than {FEW_OF_CLASS} sequences: {shown}"


def _in_order(table: Table, roles: Roles, sequence_R: Rows) -> NDArray[np.int64]:
    """Return the rows in the order in which a model reads them."""
    if (time := roles.one("time")) is None:
        return np.argsort(sequence_R, kind="stable")
    order: NDArray[np.int64] = np.lexsort((table.columns[time].values, sequence_R))
    return order
