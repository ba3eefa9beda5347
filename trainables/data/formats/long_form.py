"""Tables in long form, one row a step, as sequences that lie end to end.

Rows of a sequence need not follow one another: sequences come in the order in which they first
appear, and their steps by time, or as they lie in the file where no time is named. What a
sequence has once (target, split, group) is the same in all its rows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, has_classes, is_causal, of_several, predicts_itself
from spaces.own_data import FILE, FOLDER, ROLES, Columns, DataSection, Feature, Label, several
from spaces.tasks import TaskInfo
from spaces.text import listed, named
from trainables.data.formats import csv_table, parquet_table
from trainables.data.formats.checks import not_finite
from trainables.data.formats.feature_check import FeatureCheck
from trainables.data.formats.labels import encode
from trainables.data.formats.on_demand import open_table
from trainables.data.formats.ragged import Array, Ragged, first
from trainables.data.formats.table import (
    NUMERIC,
    Column,
    Source,
    Table,
    check_column,
    check_kind,
    check_names,
    table_of,
)
from trainables.data.formats.table_rows import TableRows, arrange
from trainables.data.memory import refuse_unless_it_fits

MOST_CATEGORIES = 1000  #: of one column of text: each becomes an input
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")


class TableReader(Protocol):
    """How columns are read: from one file or from a folder of them."""

    def names(self, path: Path, place: str) -> list[str]:
        """Return the names of a table's columns. Raises InputError."""

    def read(self, path: Path, place: str, columns: Sequence[str]) -> Table:
        """Return some columns. Raises InputError."""

    def open_source(
        self, path: Path, place: str, columns: Sequence[str], *, at_once: bool = True
    ) -> Source:
        """Return some columns, to be read piece by piece. Raises InputError.

        at_once: whether there must be memory for all of them, or for one at a time.
        """


def reader_of(path: Path) -> TableReader:
    """Return how a file is read."""
    return csv_table if path.suffix.lower() == ".csv" else parquet_table


def read(
    path: Path,
    data: DataSection,
    kind: TaskKind,
    reader: TableReader | None = None,
    *,
    keep: bool = True,
) -> Ragged:
    """Return the data of a table for a task of a kind. Raises InputError.

    reader: of a folder of tables. keep: whether numbers are to be in memory; if not, they are
    looked at alone.
    """
    place, reader = data.file, reader or reader_of(path)
    parts = {role: name for role in ROLES if (name := getattr(data, role)) is not None}
    if data.is_folder:
        parts["id"] = FILE
        if not is_causal(kind):
            parts.setdefault("target", FOLDER)
    taken = [name for names in parts.values() for name in several(names)]
    future = data.future or ()
    if data.features is None:
        known = reader.names(path, place)
        check_names(known, [*taken, *future], place)
        wanted = [name for name in known if name not in (*taken, *future)]
        source = reader.open_source(path, place, [*taken, *wanted, *future])
        wanted = [name for name in wanted if source.kind(name) in NUMERIC]
        if not wanted and kind != "forecasting":
            rule = "the table must have a column of numbers that plays no other part; it has none"
            raise InputError.of(place, rule, "name the features: features: [COLUMN, …]")
    else:
        wanted = list(data.features)
        source = reader.open_source(path, place, [*taken, *wanted, *future])
    if kind == "forecasting":
        wanted = [parts.pop("target"), *wanted, *future]  # what is forecast is the first input
    symbols = kind == "next-token"
    if symbols and len(wanted) != 1:
        rule = f"next-token reads one column of symbols, not {len(wanted)}: {_listed(wanted)}"
        raise InputError.of(place, rule, "name it: features: [COLUMN]")
    streamed = [] if symbols else [name for name in wanted if source.kind(name) in NUMERIC]
    aside = [name for name in wanted if name not in streamed]
    roles = [name for names in parts.values() for name in several(names)]
    table = open_table(source, place, roles)
    texts = table_of(source, place, aside)
    features = tuple(
        Feature(name) if name in streamed else _feature(texts.columns[name], texts, symbols=symbols)
        for name in wanted
    )
    columns, each_step = Columns(features, **parts), kind == "tagging"
    rows = arrange(table, columns, source.rows, each_step=each_step, gaps=data.time_gaps)
    y: Array | None = None
    labels: tuple[Label, ...] | None = features[0].categories if symbols else None
    if has_classes(kind):
        y, labels = encode(_classes(rows, table.columns[parts["target"]]))
    elif of_several(kind) and not predicts_itself(kind):
        names = several(parts["target"])
        y = _numbers(rows, [table.columns[name] for name in names], kind)
        labels = names if len(names) > 1 else None
    del table  # what is not read again makes room for the features
    if not keep and not symbols:
        check = FeatureCheck(kind, data.missing)
        x = _looked_at(source, texts, columns, rows.places.order, check)
        ragged = replace(_of_rows(rows, x), checked=check)
    else:
        ragged = _ragged(rows, source, texts, symbols=symbols)
    return replace(ragged, y=y, labels=labels)


def read_new(path: Path, info: TaskInfo, reader: TableReader | None = None) -> Ragged:
    """Return the sequences of a table, read as the one that a model was trained on.

    y is as the table has it. reader: of a folder of tables. Raises InputError.
    """
    place, reader = path.name, reader or reader_of(path)
    if info.columns is None:
        rule = "the model was trained on data without names of columns; a table has them"
        remedy = "give an .npz with x and lengths, the features in the order of training"
        raise InputError.of(place, rule, remedy)
    known, columns = reader.names(path, place), info.columns
    needed = [*(feature.name for feature in columns.features), *filter(None, [columns.time])]
    if columns.id is not None:
        needed.insert(0, columns.id)
    check_names(known, needed, place)
    further = {role: getattr(columns, role) for role in ("target", "split", "group")}
    there = {role: given for role, given in further.items() if {*several(given)} & {*known}}
    found = [name for names in there.values() for name in several(names)]
    check_names(known, found, place)
    source = reader.open_source(path, place, [*needed, *found])
    present = Columns(columns.features, columns.id, columns.time, **there)
    symbols, each_step = info.kind == "next-token", info.kind == "tagging"
    texts = [each.name for each in columns.features if symbols or each.categories is not None]
    roles = [name for role in ROLES for name in several(getattr(present, role))]
    table = open_table(source, place, roles)
    rows = arrange(table, present, source.rows, each_step=each_step, gaps=info.gaps)
    y = None
    if not predicts_itself(info.kind) and "target" in there:
        targets = [table.columns[name] for name in several(there["target"])]
        if has_classes(info.kind):
            y = _classes(rows, targets[0])
        else:
            y = _numbers(rows, targets, info.kind)
    del table  # what is not read again makes room for the features
    return replace(_ragged(rows, source, table_of(source, place, texts), symbols=symbols), y=y)


def _ragged(rows: TableRows, source: Source, table: Table, *, symbols: bool) -> Ragged:
    """Return the sequences, without targets. table: of features that are not read in stretches."""
    columns, order = rows.columns, rows.places.order
    if symbols:
        x = _symbols(table, columns.features[0], order)
    else:
        x = _x(source, table, columns, order)
    return _of_rows(rows, x)


def _of_rows(rows: TableRows, x: Array) -> Ragged:
    """Return the sequences, without targets."""
    split, group = (rows.once.get(role) for role in ("split", "group"))
    return Ragged(
        x,
        rows.lengths,
        rows.places,
        split=split,
        group=group,
        ids=rows.ids,
        columns=rows.columns,
        gap=rows.gap,
    )


def _classes(rows: TableRows, column: Column) -> Array:
    if column.kind == "number":
        rule = f"classes must be text or whole numbers, not {column.type}"
        remedy = "name the classes, write whole numbers, or choose kind: regression"
        raise InputError.of(rows.places.whole("y"), rule, remedy)
    return column.plain(rows.y)


def _numbers(rows: TableRows, columns: Sequence[Column], kind: TaskKind) -> Array:
    """Return the targets [n] of one column, or [n, targets] of several."""
    table, found = rows.places.table, []
    for column in columns:
        if not column.numeric:
            rule = f"{kind} targets must be numbers, not {column.type}"
            remedy = "write numbers, or choose kind: classification"
            raise InputError.of(f"{table.place}: {named(column.name)}", rule, remedy)
        found.append(column.values[rows.y])
        wrong = first((found[-1] != 0) & (found[-1] != 1)) if kind == "multi-label" else None
        if wrong is not None:
            rule = f"each label must be 0 or 1, or true or false, not {found[-1][wrong]}"
            remedy = "write 1 where a label holds, otherwise 0"
            raise InputError.of(table.at(rows.y[wrong], column.name), rule, remedy)
    return np.stack(found, axis=1) if len(found) > 1 else found[0]


def _feature(column: Column, table: Table, *, symbols: bool) -> Feature:
    """Return how a column is read; text is one-hot, or symbols. Raises InputError."""
    if column.numeric and not (symbols and column.kind == "number"):
        return Feature(column.name)
    wanted = ("text",) if not symbols else ("text", "integer", "boolean")
    rule = "features must be numbers or text" if not symbols else "symbols must be text or integers"
    check_column(column, wanted, rule, table)
    if symbols:
        return Feature(column.name, column.categories)
    looks = [_NUMBER.fullmatch(text) is not None for text in column.categories]
    if any(looks):
        odd = next((at for at, number in enumerate(looks) if not number), 0)
        raise InputError.of(
            table.at(int(np.argmax(column.values == odd)), column.name),
            "a column must hold numbers alone, with a decimal point, or names alone; here stands "
            f"{named(column.categories[odd])}",
            "correct it, leave the cell empty where the number is missing, or leave the column out "
            "of features",
        )
    if len(column.categories) > MOST_CATEGORIES:
        raise InputError.of(
            f"{table.place}: {named(column.name)}",
            f"text becomes one input a category, at most {MOST_CATEGORIES}; here are "
            f"{len(column.categories)} different ones",
            "leave the column out of features, or join categories",
        )
    return Feature(column.name, column.categories)


def _x(
    source: Source, table: Table, columns: Columns, order: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    """Return the features of all steps, [steps, inputs].

    Numbers are read in stretches of rows, each put where its steps are: they are in memory once.
    Raises InputError for one that float32 cannot hold, at its row.
    """
    numbers, texts, inputs = _inputs(source, table, columns)
    x = np.zeros((source.rows, inputs), np.float32)
    step_R = _step_of_rows(order)
    for begin, feature in texts.items():
        assert feature.categories is not None
        codes = _codes(table.columns[feature.name], feature.categories, table)
        steps = np.arange(len(codes)) if step_R is None else step_R
        x[steps, begin + codes] = 1
    for steps, values in _numbers_in_stretches(source, table, numbers, step_R):
        to = slice(steps[0], steps[-1] + 1) if order is None else steps
        for at, begin in enumerate(numbers):
            x[to, begin] = values[:, at]
    return x


def _looked_at(
    source: Source,
    table: Table,
    columns: Columns,
    order: NDArray[np.int64] | None,
    check: FeatureCheck,
) -> NDArray[np.float32]:
    """Look at the numbers of all steps and keep none, but for a series that is forecast.

    Returns it, [steps, 1], or no values of the shape [steps, inputs].
    """
    numbers, _, inputs = _inputs(source, table, columns)
    forecast = check.kind == "forecasting"
    x = np.zeros((source.rows, 1), np.float32) if forecast else None
    for steps, values in _numbers_in_stretches(source, table, numbers, _step_of_rows(order)):
        check.look(values, steps)
        if x is not None:
            x[steps, 0] = values[:, 0]
    return np.broadcast_to(np.float32(0), (source.rows, inputs)) if x is None else x


def _inputs(
    source: Source, table: Table, columns: Columns
) -> tuple[dict[int, Feature], dict[int, Feature], int]:
    """Return the features of numbers and of text, by the input at which each begins; all inputs.

    Raises InputError where they do not fit into memory.
    """
    at = 0
    numbers: dict[int, Feature] = {}
    texts: dict[int, Feature] = {}
    for feature in columns.features:
        (numbers if feature.categories is None else texts)[at] = feature
        at += len(feature.inputs)
    for feature in numbers.values():
        rule = "features must be numbers, as in training"
        if source.kind(feature.name) not in (*NUMERIC, "empty"):
            column = source.columns([feature.name])[feature.name]
            check_kind(column, NUMERIC, rule, table)
    size = source.rows * at * np.dtype(np.float32).itemsize
    refuse_unless_it_fits(size, table.place, "name fewer features, or ones of fewer categories")
    return numbers, texts, at


def _step_of_rows(order: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Return the step that each row becomes; None where it is the row's own number."""
    if order is None:
        return None
    step_R = np.empty_like(order)
    step_R[order] = np.arange(len(order))
    return step_R


def _numbers_in_stretches(
    source: Source,
    table: Table,
    numbers: Mapping[int, Feature],
    step_R: NDArray[np.int64] | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield steps [n] and their numbers [n, features], in stretches of rows.

    Raises InputError after the last one for a number that float32 cannot hold.
    """
    row, names = 0, list(dict.fromkeys(feature.name for feature in numbers.values()))
    beyond: list[tuple[int, str, float]] = []  # row, column and value of the first one
    number = 0
    for found in source.stretches(names) if names else ():
        read = len(found[names[0]].values)
        steps = np.arange(row, row + read) if step_R is None else step_R[row : row + read]
        short = np.empty((read, len(numbers)), np.float32)
        for at, feature in enumerate(numbers.values()):
            column = found[feature.name]
            values = np.where(column.missing, np.nan, column.values)
            with np.errstate(over="ignore"):
                short[:, at] = values
            too_large = np.isinf(short[:, at]) & ~np.isinf(values)
            if (at_row := first(too_large)) is not None:
                beyond.append((row + at_row, feature.name, values[at_row]))
                number += int(too_large.sum())
        yield steps, short
        row += read
    if beyond:
        at_row, name, value = min(beyond, key=lambda each: each[0])
        more = f" ({number} such values)" if number > 1 else ""
        raise not_finite(table.at(at_row, name), value, more)


def _symbols(table: Table, feature: Feature, order: NDArray[np.int64] | None) -> Array:
    column = table.columns[feature.name]
    if feature.categories is not None:
        found: Array = _codes(column, feature.categories, table)
    else:
        check_column(
            column, ("integer", "boolean"), "symbols must be integers, as in training", table
        )
        found = column.values
    return found if order is None else found[order]


def _codes(column: Column, categories: Sequence[str], table: Table) -> NDArray[np.int64]:
    """Return the place of each row's text among the categories of training."""
    check_column(column, ("text",), "must be text, as in training", table)
    code_of = {category: code for code, category in enumerate(categories)}
    codes = np.array([code_of.get(text, -1) for text in column.categories], np.int64)
    found: NDArray[np.int64] = codes[column.values]
    at = first(found < 0)
    if at is not None:
        text = column.categories[column.values[at]]
        raise InputError.of(
            table.at(at, column.name),
            f"must be one of the {len(categories)} names of training, not {named(text)}",
            "write it as in training, or leave such sequences out",
        )
    return found


def _listed(wanted: Sequence[str]) -> str:
    shown = [named(name) for name in wanted[:5]]
    return listed(shown) if len(shown) == len(wanted) else ", ".join([*shown, "…"])
