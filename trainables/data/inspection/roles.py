"""Which column of a table plays which part, and which kind of task that makes it.

What the user says stands. The rest follows from values first (a column that is the same within
sequences, one that grows in them) and from common names second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind
from spaces.own_data import ROLES
from trainables.data.formats.checks import SPLITS
from trainables.data.formats.table import Column, Table, check_names

_NAMES = {
    "id": {"id", "sequence", "series", "case", "sample", "episode", "recording"},
    "time": {"time", "timestamp", "stamp", "date", "datetime", "ds", "t", "step", "order", "index"}
    | {"frame", "position", "tick"},
    "target": {"target", "label", "class", "y", "state", "outcome", "category"},
    "group": {"group", "subject", "speaker", "patient", "participant", "person", "user", "site"},
}
#: Classes of whole numbers; more different ones are a number to predict.
MOST_CLASSES = 30


@dataclass(frozen=True)
class Roles:
    """The parts that columns play, and the kind of task."""

    kind: TaskKind
    features: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)  #: by role: id, time, target, …
    telling: tuple[str, ...] = ()  #: columns that tell the target, and are no features for that


def sequence_of_rows(table: Table, name: str | None) -> NDArray[np.int64]:
    """Return the number of each row's sequence, in the order of their first rows."""
    if name is None:
        return np.zeros(table.rows, np.int64)
    values = table.columns[name].values
    _, begins, inverse = np.unique(values, return_index=True, return_inverse=True)
    numbers: NDArray[np.int64] = np.argsort(np.argsort(begins))[inverse].astype(np.int64)
    return numbers


def find_roles(
    table: Table,
    given: Mapping[str, str],
    features: tuple[str, ...] | None = None,
    kind: TaskKind | None = None,
) -> Roles:
    """Return the parts that columns play.

    given: by role, what the user said. Raises InputError where it names no column, or where no kind
    of task fits.
    """
    check_names(list(table.columns), [*given.values(), *(features or ())], table.place)
    parts = dict(given)
    causal = kind in ("next-token", "next-step")

    def free() -> Iterator[Column]:
        taken = {*parts.values(), *(features or ())}
        return (column for name, column in table.columns.items() if name not in taken)

    def choose(role: str, found: str | None) -> None:
        if role not in parts and found is not None:
            parts[role] = found

    choose("split", next((c.name for c in free() if _is_split(c)), None))
    choose("id", _id(list(free())))
    sequence_R = sequence_of_rows(table, parts.get("id"))
    choose("time", _time(list(free()), sequence_R))
    steady = [column for column in free() if is_steady(column, sequence_R)]
    steady = steady if sequence_R.any() else []
    groups = [c for c in steady if _has_name(c, "group") and c.kind in ("text", "integer")]
    if not causal and kind != "tagging":
        rest = [c for c in steady if c not in groups] or steady
        choose("target", _target(rest))
    choose("group", next((c.name for c in groups if c.name not in parts.values()), None))
    telling: tuple[str, ...] = ()
    if features is None:
        target = table.columns.get(parts.get("target", ""))
        own = [c for c in free() if c.numeric]
        if not own:
            own = [c for c in free() if c.kind == "text"][:1]
        telling = tuple(c.name for c in own if target is not None and tells(c, target, sequence_R))
        features = tuple(c.name for c in own if c.name not in telling)
    if not features:
        rule = "the table must have a column of numbers that plays no other part; it has none"
        raise InputError.of(table.place, rule, "name the features: --features COLUMN,COLUMN")
    if kind in ("multi-label", "forecasting"):
        rule = f"a job of {kind} must be written by hand: what a file has does not tell it"
        raise InputError.of(table.place, rule, "see the README, Your own data")
    if kind in ("classification", "tagging", "regression") and "target" not in parts:
        rule = f"{kind} needs a column with the target, the same in all rows of a sequence"
        raise InputError.of(table.place, rule, "name it: --target COLUMN")
    found_kind = kind or _kind(table, parts, features, sequence_R)
    return Roles(found_kind, features, {r: parts[r] for r in ROLES if r in parts}, telling)


def is_steady(column: Column, sequence_R: NDArray[np.int64]) -> bool:
    """Return whether a column has one value in all rows of a sequence."""
    if column.kind not in ("text", "integer", "boolean", "number"):
        return False
    _, begins = np.unique(sequence_R, return_index=True)
    values = np.where(column.missing, 0, column.values)
    steady: bool = bool((values == values[begins][sequence_R]).all())
    return steady


def tells(column: Column, target: Column, sequence_R: NDArray[np.int64]) -> bool:
    """Return whether a column, alone and the same in a whole sequence, is the target renamed.

    Each of its values goes with one target and each target with one value, or, of numbers, both
    lie on one line. An id of its own for each sequence is none.
    """
    if not is_steady(column, sequence_R) or column.kind == "other":
        return False
    _, begins = np.unique(sequence_R, return_index=True)
    ours, theirs = column.values[begins], target.values[begins]
    values, labels = np.unique(ours), np.unique(theirs)
    if len(values) < 2 or len(labels) < 2:
        return False
    if len(labels) < len(begins):
        pairs = np.unique(np.stack([ours.astype(float), theirs.astype(float)]), axis=1)
        return bool(len(values) == len(labels) == pairs.shape[1])
    if len(begins) < 3 or not (target.numeric and column.numeric):
        return False
    return bool(abs(np.corrcoef(ours.astype(float), theirs.astype(float))[0, 1]) > 1 - 1e-9)


def _is_split(column: Column) -> bool:
    names = set(column.categories)
    return column.kind == "text" and len(names) > 1 and names <= set(SPLITS)


def _id(columns: list[Column]) -> str | None:
    """Return the column that names sequences: by its name, or by runs of rows of one value."""
    able = [
        column
        for column in columns
        if column.kind in ("text", "integer")
        and 1 < (distinct := len(np.unique(column.values))) < len(column.values)
        and not column.missing.any()
        and distinct > 1
    ]
    meant = [c for c in able if _has_name(c, "id") or c.name.lower().endswith("id")]
    if meant:
        return meant[0].name
    runs = [
        (len(np.unique(column.values)), -number, column.name)
        for number, column in enumerate(able)
        if np.count_nonzero(np.diff(column.values)) + 1 == len(np.unique(column.values))
    ]
    return max(runs)[2] if runs else None


def _time(columns: list[Column], sequence_R: NDArray[np.int64]) -> str | None:
    moments = [column for column in columns if column.kind == "time"]
    numbers = [column for column in columns if column.kind in ("integer", "number")]
    meant = [column for column in numbers if _has_name(column, "time")]
    order = np.argsort(sequence_R, kind="stable")
    within = np.diff(sequence_R[order]) == 0
    grows = [
        column
        for column in numbers
        if within.any() and bool((np.diff(column.values[order])[within] > 0).all())
    ]
    return next((column.name for column in [*moments, *meant, *grows]), None)


def _target(columns: list[Column]) -> str | None:
    able = [c for c in columns if len(np.unique(c.values)) > 1]
    meant = [c for c in able if _has_name(c, "target")]
    return next((column.name for column in [*meant, *reversed(able)]), None)


def _has_name(column: Column, role: str) -> bool:
    return column.name.strip().lower().replace(" ", "_") in _NAMES[role]


def _kind(
    table: Table,
    parts: Mapping[str, str],
    features: tuple[str, ...],
    sequence_R: NDArray[np.int64],
) -> TaskKind:
    columns = [table.columns[name] for name in features]
    if "target" in parts:
        target = table.columns[parts["target"]]
        if target.kind in ("text", "boolean"):
            return "classification"
        distinct = len(np.unique(target.values))
        sequences = int(sequence_R.max()) + 1
        few = distinct <= min(MOST_CLASSES, max(2, sequences // 2))
        return "classification" if target.kind == "integer" and few else "regression"
    if all(c.numeric and set(np.unique(c.values)) <= {0, 1} for c in columns):
        return "next-step"
    if len(columns) == 1 and columns[0].kind in ("text", "integer"):
        return "next-token"
    raise InputError.of(
        table.place,
        "a column must say what is predicted, the same in all rows of a sequence; none does"
        + ("" if "id" in parts else ", and none says which sequence a row is of"),
        "name them: --id COLUMN --target COLUMN",
    )
