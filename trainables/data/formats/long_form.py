"""Tables in long form, one row a step, as sequences that lie end to end.

Rows of a sequence need not follow one another: sequences come in the order in which they first
appear, and their steps by time, or as they lie in the file where no time is named. What a
sequence has once (target, split, group) is the same in all its rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind, has_classes, is_causal, of_several, predicts_itself
from spaces.own_data import FILE, FOLDER, ROLES, Columns, DataSection, Feature, several
from spaces.tasks import TaskInfo
from spaces.text import listed, named
from trainables.data.formats import csv_table, parquet_table
from trainables.data.formats.labels import encode
from trainables.data.formats.ragged import Array, Part, Ragged, first
from trainables.data.formats.table import Column, Table, check_names

MOST_CATEGORIES = 1000  #: of one column of text: each becomes an input
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
#: Of a type of times, as pyarrow writes it, its unit; and how many seconds that is.
_UNIT = re.compile(r"\[(day|s|ms|us|ns)\b")
_SECONDS = {"day": 86_400.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_ROLE_OF: dict[Part, str] = {"lengths": "id", "y": "target", "split": "split", "group": "group"}


@dataclass(frozen=True)
class TablePlaces:
    """Places by row and column: "pumps.csv: row 17: pressure"; rows count from 1, without names."""

    table: Table = field(repr=False)
    columns: Columns
    order: NDArray[np.int64] = field(repr=False)  #: rows as the sequences have them
    begins: NDArray[np.int64] = field(repr=False)  #: of each sequence, its first step

    def whole(self, part: Part) -> str:
        """Return the place of a column."""
        names = [] if part == "x" else several(getattr(self.columns, _ROLE_OF[part]))
        return ": ".join([self.table.place, *([listed(map(named, names))] if names else [])])

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a sequence's value: its first row."""
        names = [] if part == "x" else several(getattr(self.columns, _ROLE_OF[part]))
        place = self.table.at(self.order[self.begins[sequence]])
        return ": ".join([place, *([listed(map(named, names))] if names else [])])

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        names = [f.name for f in self.columns.features for _ in f.inputs]
        return self.table.at(self.order[at], names[feature or 0])


class TableReader(Protocol):
    """How columns are read: from one file or from a folder of them."""

    def names(self, path: Path, place: str) -> list[str]:
        """Return the names of a table's columns. Raises InputError."""

    def read(self, path: Path, place: str, columns: Sequence[str]) -> Table:
        """Return some columns. Raises InputError."""


def reader_of(path: Path) -> TableReader:
    """Return how a file is read."""
    return csv_table if path.suffix.lower() == ".csv" else parquet_table


def read(
    path: Path, data: DataSection, kind: TaskKind, reader: TableReader | None = None
) -> Ragged:
    """Return the data of a table for a task of a kind. Raises InputError.

    reader: of a folder of tables.
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
        table = reader.read(path, place, [*taken, *wanted, *future])
        wanted = [name for name in wanted if table.columns[name].numeric]
        if not wanted and kind != "forecasting":
            rule = "the table must have a column of numbers that plays no other part; it has none"
            raise InputError.of(place, rule, "name the features: features: [COLUMN, …]")
    else:
        wanted = list(data.features)
        table = reader.read(path, place, [*taken, *wanted, *future])
    if kind == "forecasting":
        wanted = [parts.pop("target"), *wanted, *future]  # what is forecast is the first input
    symbols = kind == "next-token"
    if symbols and len(wanted) != 1:
        rule = f"next-token reads one column of symbols, not {len(wanted)}: {_listed(wanted)}"
        raise InputError.of(place, rule, "name it: features: [COLUMN]")
    found = [table.columns[name] for name in wanted]
    features = tuple(_feature(column, table, symbols=symbols) for column in found)
    columns = Columns(features, **parts)
    ragged = _arrange(table, columns, symbols=symbols, each_step=kind == "tagging")
    if has_classes(kind):
        y, labels = encode(_classes(ragged, table.columns[parts["target"]]))
        return replace(ragged, y=y, labels=labels)
    if of_several(kind) and not predicts_itself(kind):
        names = several(parts["target"])
        y = _numbers(ragged, [table.columns[name] for name in names], kind)
        return replace(ragged, y=y, labels=names if len(names) > 1 else None)
    return replace(ragged, labels=features[0].categories) if symbols else ragged


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
    table = reader.read(path, place, [*needed, *found])
    present = Columns(columns.features, columns.id, columns.time, **there)
    symbols, each_step = info.kind == "next-token", info.kind == "tagging"
    ragged = _arrange(table, present, symbols=symbols, each_step=each_step)
    if predicts_itself(info.kind) or "target" not in there:
        return ragged
    targets = [table.columns[name] for name in several(there["target"])]
    if has_classes(info.kind):
        return replace(ragged, y=_classes(ragged, targets[0]))
    return replace(ragged, y=_numbers(ragged, targets, info.kind))


def _arrange(table: Table, columns: Columns, *, symbols: bool, each_step: bool) -> Ragged:
    """Return the rows as sequences. y: the row in which each sequence begins, to be replaced.

    each_step: whether targets are of steps; y is the row of each step then.
    """
    sequence_R = np.zeros(table.rows, np.int64)  # the sequence of each row
    if columns.id is not None:
        of = table.columns[columns.id]
        _check(of, ("integer", "text", "time"), "ids must be text or whole numbers", table)
        _, begins, inverse = np.unique(of.values, return_index=True, return_inverse=True)
        sequence_R = np.argsort(np.argsort(begins))[inverse].astype(np.int64)
    order = np.argsort(sequence_R, kind="stable")
    if columns.time is not None:
        time = table.columns[columns.time]
        rule = "times must be numbers, or dates and times in ISO 8601"
        _check(time, ("integer", "number", "time"), rule, table)
        order = np.lexsort((time.values, sequence_R))
    lengths = np.bincount(sequence_R).astype(np.int64)
    begins = np.cumsum(lengths) - lengths
    ragged = Ragged(
        _symbols(table, columns.features[0], order) if symbols else _x(table, columns, order),
        lengths,
        TablePlaces(table, columns, order, begins),
        y=order if each_step else order[begins],
        ids=None if columns.id is None else table.columns[columns.id].plain()[order[begins]],
        columns=columns,
        gap=None if columns.time is None else _gaps(table.columns[columns.time], order, begins),
    )
    once: dict[str, Array] = {}
    for role in ("target", "split", "group"):
        own = np.ones_like(order) if each_step and role == "target" else lengths
        for name in several(getattr(columns, role)):
            once[role] = _once(table, name, role, order, own)
    split, group = (once.get(role) for role in ("split", "group"))
    if "target" not in once:
        ragged = replace(ragged, y=None)
    return replace(ragged, split=split, group=group)


def _gaps(time: Column, order: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the time since the step before [steps]: in seconds where it is of dates or times."""
    values = time.values[order]
    gaps = np.diff(values, prepend=values[:1]).astype(np.float64)
    gaps[begins] = 0
    unit = _UNIT.search(time.type) if time.kind == "time" else None
    seconds = 1.0 if unit is None else _SECONDS[unit[1]]
    return (gaps * seconds).astype(np.float32)


def _once(
    table: Table, name: str, role: str, order: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Array:
    """Return what each sequence has in a column, which all of its rows have alike."""
    kinds: dict[str, tuple[tuple[str, ...], str]] = {
        "target": (("integer", "text", "boolean", "number"), "targets must be text or numbers"),
        "split": (("text",), "a split must be train, validation (or val) or test"),
        "group": (("integer", "text"), "groups must be text or whole numbers"),
    }
    column = table.columns[name]
    _check(column, *kinds[role], table)
    begins = np.cumsum(lengths) - lengths
    values = column.values[order]
    at = first(values != np.repeat(values[begins], lengths))
    if at is not None:
        remedy = f"correct the row; {column.name} may be no {role} of whole sequences"
        if role == "target":
            remedy += "; or cut sequences where it changes, each with an id of its own"
        raise InputError.of(
            table.at(order[at], column.name),
            f"all rows of a sequence must have one {role}; this one differs from those before",
            remedy,
        )
    once: Array = column.plain()[order[begins]]
    return once


def _classes(ragged: Ragged, column: Column) -> Array:
    if column.kind == "number":
        rule = f"classes must be text or whole numbers, not {column.type}"
        remedy = "name the classes, write whole numbers, or choose kind: regression"
        raise InputError.of(ragged.places.whole("y"), rule, remedy)
    assert ragged.y is not None
    classes: Array = column.plain()[ragged.y]
    return classes


def _numbers(ragged: Ragged, columns: Sequence[Column], kind: TaskKind) -> Array:
    """Return the targets [n] of one column, or [n, targets] of several."""
    assert ragged.y is not None and isinstance(ragged.places, TablePlaces)
    table, found = ragged.places.table, []
    for column in columns:
        if not column.numeric:
            rule = f"{kind} targets must be numbers, not {column.type}"
            remedy = "write numbers, or choose kind: classification"
            raise InputError.of(f"{table.place}: {named(column.name)}", rule, remedy)
        found.append(column.values[ragged.y])
        wrong = first((found[-1] != 0) & (found[-1] != 1)) if kind == "multi-label" else None
        if wrong is not None:
            rule = f"each label must be 0 or 1, or true or false, not {found[-1][wrong]}"
            remedy = "write 1 where a label holds, otherwise 0"
            raise InputError.of(table.at(ragged.y[wrong], column.name), rule, remedy)
    return np.stack(found, axis=1) if len(found) > 1 else found[0]


def _feature(column: Column, table: Table, *, symbols: bool) -> Feature:
    """Return how a column is read; text is one-hot, or symbols. Raises InputError."""
    if column.numeric and not (symbols and column.kind == "number"):
        return Feature(column.name)
    wanted = ("text",) if not symbols else ("text", "integer", "boolean")
    rule = "features must be numbers or text" if not symbols else "symbols must be text or integers"
    _check(column, wanted, rule, table)
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


def _x(table: Table, columns: Columns, order: NDArray[np.int64]) -> Array:
    """Return the features of all steps, [steps, inputs]."""
    width = sum(len(feature.inputs) for feature in columns.features)
    numbers = [table.columns[f.name].values for f in columns.features if f.categories is None]
    short = all(values.dtype == np.float32 for values in numbers)
    x = np.zeros((len(order), width), np.float32 if short else np.float64)
    at = 0
    for feature in columns.features:
        column = table.columns[feature.name]
        if feature.categories is None:
            rule = "features must be numbers, as in training"
            _check_kind(column, ("number", "integer", "boolean"), rule, table)
            x[:, at] = np.where(column.missing, np.nan, column.values)[order]
        else:
            codes = _codes(column, feature.categories, table)[order]
            x[np.arange(len(order)), at + codes] = 1
        at += len(feature.inputs)
    return x


def _symbols(table: Table, feature: Feature, order: NDArray[np.int64]) -> Array:
    column = table.columns[feature.name]
    if feature.categories is not None:
        return _codes(column, feature.categories, table)[order]
    _check(column, ("integer", "boolean"), "symbols must be integers, as in training", table)
    found: Array = column.values[order]
    return found


def _codes(column: Column, categories: Sequence[str], table: Table) -> NDArray[np.int64]:
    """Return the place of each row's text among the categories of training."""
    _check(column, ("text",), "must be text, as in training", table)
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


def _check(column: Column, kinds: Sequence[str], rule: str, table: Table) -> None:
    """Raise InputError where a column is of another kind or a value is missing."""
    _check_kind(column, kinds, rule, table)
    at = first(column.missing)
    if at is not None:
        number = int(column.missing.sum())
        raise InputError.of(
            table.at(at, column.name),
            "every row must have a value; here it is missing"
            + (f" ({number} such rows)" if number > 1 else ""),
            "fill the gaps, or leave such sequences or the column out",
        )


def _check_kind(column: Column, kinds: Sequence[str], rule: str, table: Table) -> None:
    """Raise InputError where a column is of another kind."""
    if column.kind not in (*kinds, "empty"):
        raise InputError.of(
            f"{table.place}: {named(column.name)}",
            f"{rule}, not {column.type}",
            "name another column",
        )


def _listed(wanted: Sequence[str]) -> str:
    shown = [named(name) for name in wanted[:5]]
    return listed(shown) if len(shown) == len(wanted) else ", ".join([*shown, "…"])
