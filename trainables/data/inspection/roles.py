"""Which column of a table plays which part, and which kind of task that makes it.

What the user says stands. The rest follows from values first (a column that is the same within
sequences, one that grows in them) and from common names second.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from spaces.errors import InputError
from spaces.kinds import TaskKind, is_causal
from spaces.own_data import ROLES, OneOrMore, several
from trainables.data.formats.checks import SPLITS
from trainables.data.formats.table import Column, Table, check_names
from trainables.data.inspection.rows import (
    SequenceRows,
    along,
    changing,
    different,
    is_label,
    is_steady,
    sequence_rows,
)

_NAMES = {
    "id": {"id", "sequence", "series", "case", "sample", "episode", "recording"},
    "time": {"time", "timestamp", "stamp", "date", "datetime", "ds", "t", "step", "order", "index"}
    | {"frame", "position", "tick"},
    "target": {"target", "label", "class", "y", "state", "outcome", "category"},
    "group": {"group", "subject", "speaker", "patient", "participant", "person", "user", "site"},
}
#: Classes of whole numbers; more different ones are a number to predict.
MOST_CLASSES = 30
#: Kinds whose targets are the same in all rows of a sequence.
OF_SEQUENCES: tuple[TaskKind, ...] = ("classification", "multi-label", "regression")
#: The end of a name that is one of several alike: label_cough, y1, target 2.
_ONE_OF_SEVERAL = re.compile(r"[ _.-]\S.*|\d+")


@dataclass(frozen=True)
class Roles:
    """The parts that columns play, and the kind of task."""

    kind: TaskKind
    features: tuple[str, ...]
    #: By role: id, time, target (which may be several columns), …
    parts: Mapping[str, OneOrMore] = field(default_factory=dict)
    telling: tuple[str, ...] = ()  #: columns that tell the target, and are no features for that

    def one(self, role: str) -> str | None:
        """Return the column of a part that is no target, where it is there."""
        name = self.parts.get(role)
        assert name is None or isinstance(name, str)
        return name

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns of what is predicted."""
        return several(self.parts.get("target"))


def find_roles(
    table: Table,
    given: Mapping[str, OneOrMore],
    features: tuple[str, ...] | None = None,
    kind: TaskKind | None = None,
) -> Roles:
    """Return the parts that columns play.

    given: by role, what the user said. Raises InputError where it names no column, or where no kind
    of task fits.
    """
    said = [name for names in given.values() for name in several(names)]
    check_names(list(table.columns), [*said, *(features or ())], table.place)
    parts = dict(given)
    if kind is not None and is_causal(kind):
        parts.pop("target", None)

    def free() -> Iterator[Column]:
        taken = _taken(parts) | {*(features or ())}
        return (column for name, column in table.columns.items() if name not in taken)

    def choose(role: str, found: OneOrMore | None) -> None:
        if role not in parts and found:
            parts[role] = found

    if kind != "forecasting":
        choose("split", next((c.name for c in free() if _is_split(c)), None))
    choose("id", _id(list(free())))
    sequences = sequence_rows(table, parts.get("id"))
    choose("time", _time(list(free()), sequences))
    several_there = len(sequences.lengths) > 1
    steady = [c for c in free() if several_there and is_steady(c, sequences)]
    groups = [c for c in steady if _has_name(c, "group") and c.kind in ("text", "integer")]
    rest = [c for c in steady if c not in groups] or steady
    varying = [c for c in free() if c not in steady]
    choose("target", _targets(rest, varying, parts, kind))
    found_kind = kind or _kind(table, parts, [*free()], features, sequences)
    if found_kind == "forecasting" and kind is None:
        choose("target", _forecast(varying, parts))
    if found_kind != "forecasting":
        choose("group", next((c.name for c in groups if c.name not in _taken(parts)), None))
    telling: tuple[str, ...] = ()
    if features is None:
        own = [c for c in free() if c.numeric]
        if not own and found_kind != "forecasting":
            own = [c for c in free() if c.kind == "text"][:1]
        if found_kind in OF_SEQUENCES:
            names = several(parts.get("target"))
            targets = [_once(table.columns[name], sequences) for name in names]
            telling = tuple(c.name for c in own if any(tells(c, t, sequences) for t in targets))
        features = tuple(c.name for c in own if c.name not in telling)
    if not features and found_kind != "forecasting":
        rule = "the table must have a column of numbers that plays no other part; it has none"
        raise InputError.of(table.place, rule, "name the features: --features COLUMN,COLUMN")
    if not is_causal(found_kind) and "target" not in parts:
        raise _no_target(found_kind, table.place)
    return Roles(found_kind, features, {r: parts[r] for r in ROLES if r in parts}, telling)


def _taken(parts: Mapping[str, OneOrMore]) -> set[str]:
    return {name for names in parts.values() for name in several(names)}


def _no_target(kind: TaskKind, place: str) -> InputError:
    """Return the error that no column says what is predicted."""
    what, remedy = {
        "multi-label": ("columns of 0 and 1, the same in all rows of a sequence", "COLUMN,COLUMN"),
        "tagging": ("a column with the class of each row", "COLUMN"),
        "forecasting": ("a column of numbers that is forecast", "COLUMN"),
    }.get(kind, ("a column with the target, the same in all rows of a sequence", "COLUMN"))
    return InputError.of(place, f"{kind} needs {what}", f"name it: --target {remedy}")


def _targets(
    steady: list[Column],
    varying: list[Column],
    parts: Mapping[str, OneOrMore],
    kind: TaskKind | None,
) -> OneOrMore | None:
    """Return what is predicted, by names first.

    steady: columns that are the same in all rows of a sequence; varying: the others.
    """
    if kind is not None and is_causal(kind):
        return None
    able = [c for c in steady if different(c) > 1]
    if kind == "multi-label":
        labels = tuple(c.name for c in able if is_label(c))
        return labels if len(labels) > 1 else None
    if kind == "forecasting":
        return _forecast(varying, parts)
    of_steps = [c for c in varying if c.kind in ("text", "integer", "boolean")]
    meant_steps = [c for c in of_steps if _has_name(c, "target")]
    if kind == "tagging":
        found = [*meant_steps, *reversed(of_steps)]
        return found[0].name if found else None
    meant = [c for c in able if _has_name(c, "target")]
    if not meant and kind is None and len(several_alike := _alike(able)) > 1:
        return several_alike
    if not meant and kind is None:
        meant = meant_steps + [c for c in varying if c.numeric and _has_name(c, "target")]
    return next((column.name for column in [*meant, *reversed(able)]), None)


def _alike(columns: list[Column]) -> tuple[str, ...]:
    """Return the columns of numbers whose names say that they are targets beside others."""
    found = []
    for column in columns:
        name = column.name.strip().lower()
        word = next((w for w in _NAMES["target"] if name.startswith(w)), None)
        if word and column.numeric and _ONE_OF_SEVERAL.fullmatch(name.removeprefix(word)):
            found.append(column.name)
    return tuple(found)


def _forecast(columns: list[Column], parts: Mapping[str, OneOrMore]) -> str | None:
    """Return the column of numbers that is forecast: the one that is meant, or the only one."""
    taken = _taken(parts)
    numbers = [c for c in columns if c.numeric and c.name not in taken]
    meant = [c for c in numbers if _has_name(c, "target")]
    if not meant and len(numbers) != 1:
        return None
    return (meant or numbers)[0].name


def tells(column: Column, target: Column, sequences: SequenceRows) -> bool:
    """Return whether a column, alone and the same in a whole sequence, is the target renamed.

    Each of its values goes with one target and each target with one value, or, of numbers, both
    lie on one line. An id of its own for each sequence is none. target: a value of each sequence.
    """
    if not is_steady(column, sequences) or column.kind == "other":
        return False
    begins = sequences.begins
    ours, theirs = column.values[begins], target.values
    values, labels = np.unique(ours), np.unique(theirs)
    if len(values) < 2 or len(labels) < 2:
        return False
    if len(labels) < len(begins):
        pairs = np.unique(np.stack([ours.astype(float), theirs.astype(float)]), axis=1)
        return bool(len(values) == len(labels) == pairs.shape[1])
    if len(begins) < 3 or not (target.numeric and column.numeric):
        return False
    return bool(abs(np.corrcoef(ours.astype(float), theirs.astype(float))[0, 1]) > 1 - 1e-9)


def _once(column: Column, sequences: SequenceRows) -> Column:
    """Return a column with one value of each sequence, in memory."""
    begins = sequences.begins
    return Column(column.name, column.kind, column.values[begins], column.missing[begins])


def _is_split(column: Column) -> bool:
    names = set(column.categories)
    return column.kind == "text" and len(names) > 1 and names <= set(SPLITS)


def _id(columns: list[Column]) -> str | None:
    """Return the column that names sequences: by its name, or by runs of rows of one value."""
    able = [
        (column, number)
        for column in columns
        if column.kind in ("text", "integer")
        and 1 < (number := different(column)) < column.rows
        and not column.missing.any()
    ]
    meant = [c for c, _ in able if _has_name(c, "id") or c.name.lower().endswith("id")]
    if meant:
        return meant[0].name
    runs = [
        (number, -at, column.name)
        for at, (column, number) in enumerate(able)
        if np.count_nonzero(column.values[1:] != column.values[:-1]) + 1 == number
    ]
    return max(runs)[2] if runs else None


def _time(columns: list[Column], sequences: SequenceRows) -> str | None:
    moments = [column for column in columns if column.kind == "time"]
    numbers = [column for column in columns if column.kind in ("integer", "number")]
    meant = [column for column in numbers if _has_name(column, "time")]
    order, grows = sequences.order, []
    if not moments and not meant and (sequences.lengths > 1).any():
        grows = [
            column
            for column in numbers
            if all(bool((step > 0).all()) for step in along(column.values, sequences, order))
        ]
    return next((column.name for column in [*moments, *meant, *grows]), None)


def _has_name(column: Column, role: str) -> bool:
    return column.name.strip().lower().replace(" ", "_") in _NAMES[role]


def _kind(
    table: Table,
    parts: Mapping[str, OneOrMore],
    free: list[Column],
    features: tuple[str, ...] | None,
    sequences: SequenceRows,
) -> TaskKind:
    """Return the kind of task of parts. Raises InputError where none fits.

    free: columns that play no part yet.
    """
    targets = [table.columns[name] for name in several(parts.get("target"))]
    if len(targets) > 1:
        return "multi-label" if all(map(is_label, targets)) else "regression"
    if targets:
        (target,) = targets
        distinct, number = different(target), len(sequences.lengths)
        varies = _varies(target, sequences)
        if target.kind in ("text", "boolean"):
            return "tagging" if varies else "classification"
        if varies:
            few = target.kind == "integer" and distinct <= MOST_CLASSES
            return "tagging" if few else "forecasting"
        few = distinct <= min(MOST_CLASSES, max(2, number // 2))
        return "classification" if target.kind == "integer" and few else "regression"
    columns = [table.columns[name] for name in features or ()] or [c for c in free if c.numeric]
    columns = columns or [c for c in free if c.kind == "text"][:1]
    if columns and all(map(is_label, columns)):
        return "next-step"
    time = parts.get("time")
    dated = isinstance(time, str) and table.columns[time].kind == "time"
    is_series = columns[0].kind == "number" or dated if columns else False
    if len(columns) == 1 and columns[0].numeric and is_series and time is not None:
        return "forecasting"
    if len(columns) == 1 and columns[0].kind in ("text", "integer"):
        return "next-token"
    if not columns:
        rule = "the table must have a column of numbers that plays no other part; it has none"
        raise InputError.of(table.place, rule, "name the features: --features COLUMN,COLUMN")
    raise InputError.of(
        table.place,
        "a column must say what is predicted, the same in all rows of a sequence; none does"
        + ("" if "id" in parts else ", and none says which sequence a row is of"),
        "name them: --id COLUMN --target COLUMN; to forecast: --kind forecasting --target COLUMN",
    )


def _varies(column: Column, sequences: SequenceRows) -> bool:
    """Return whether a column changes in half of the sequences at least: it is one of steps.

    One that changes in fewer is one of sequences in which rows are wrong.
    """
    several_steps = int((sequences.lengths > 1).sum())
    return changing(column.values, sequences) >= max(1, several_steps / 2)
