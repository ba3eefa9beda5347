"""Sequences, features and classes of a user's data in figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError, Problem
from spaces.kinds import predicts_itself
from spaces.own_data import FILE, FOLDER, DataSection, Missing
from spaces.own_task import OwnData
from trainables.data.formats import own
from trainables.data.formats.table import Column, Table
from trainables.data.inspection import pitfalls
from trainables.data.inspection.roles import Roles, sequence_of_rows

BOTH = (FILE, FOLDER)  #: columns of a folder that no job file names


@dataclass(frozen=True)
class FeatureFigures:
    """What a feature holds."""

    name: str
    type: str
    missing: int
    least: float | None = None  #: of numbers
    greatest: float | None = None
    mean: float | None = None
    categories: int | None = None  #: of text

    @property
    def constant(self) -> bool:
        """Whether all values are the same."""
        return self.categories == 1 or (self.least is not None and self.least == self.greatest)


@dataclass(frozen=True)
class Inspection:
    """What was found in a file, and which task it is taken for."""

    file: str
    rows: int
    roles: Roles
    sequences: int
    lengths: tuple[int, int, int]  #: least, median, greatest
    features: tuple[FeatureFigures, ...]
    left_out: tuple[str, ...]  #: columns that play no part
    classes: dict[str, int]  #: sequences of each class
    parts: dict[str, int]  #: sequences of each part of the user's split
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]  #: why a job with this data would be refused

    @property
    def task(self) -> OwnData:
        """The task of a job file, with the file as it was given."""
        return task_of(self.file, self.roles, self._missing)

    @property
    def _missing(self) -> Missing:
        return missing_of(self.features, self.roles)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        low, median, high = self.lengths
        return {
            "file": self.file,
            "kind": self.roles.kind,
            "rows": self.rows,
            "sequences": self.sequences,
            "lengths": {"least": low, "median": median, "greatest": high},
            "columns": dict(self.roles.parts),
            "features": [{**asdict(f), "constant": f.constant} for f in self.features],
            "left_out": list(self.left_out),
            "classes": self.classes,
            "split": self.parts,
            "warnings": list(self.warnings),
            "refusals": [asdict(problem) for problem in self.refusals],
        }


def inspect(path: Path, file: str, table: Table, roles: Roles) -> Inspection:
    """Return what is in a table. file: its path as a job file is to have it.

    Raises InputError where the parts of columns fit no job.
    """
    sequence_R = sequence_of_rows(table, roles.parts.get("id"))
    lengths = np.bincount(sequence_R)
    _, begins = np.unique(sequence_R, return_index=True)
    features = tuple(_figures(table.columns[name]) for name in roles.features)
    taken = {*roles.features, *roles.parts.values()}
    return Inspection(
        file=file,
        rows=table.rows,
        roles=roles,
        sequences=len(lengths),
        lengths=(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        features=features,
        left_out=tuple(name for name in table.columns if name not in taken),
        classes=_counts(table, roles, "target", begins) if roles.kind == "classification" else {},
        parts=_counts(table, roles, "split", begins),
        warnings=(
            *pitfalls.leakage(table, roles, sequence_R),
            *_of_features(features),
            *pitfalls.of_time(table, roles, sequence_R),
            *pitfalls.too_little(table, roles, begins),
        ),
        refusals=_refusals(path, file, roles, missing_of(features, roles)),
    )


def missing_of(features: Sequence[FeatureFigures], roles: Roles) -> Missing:
    """Return what a job is to make of missing values: forward, where numbers have any."""
    gaps = any(each.missing and each.categories is None for each in features)
    return "forward" if gaps and not predicts_itself(roles.kind) else "refuse"


def task_of(file: str, roles: Roles, missing: Missing = "refuse") -> OwnData:
    """Return the task of a job file. Raises InputError where the parts fit no job."""
    section = DataSection(file=file)
    sounds = section.is_folder and FILE not in roles.parts.values()
    if sounds or (not section.is_table and not section.is_folder):
        return OwnData(kind=roles.kind, data={"file": file, "missing": missing})
    parts = {r: c for r, c in roles.parts.items() if not section.is_folder or c not in BOTH}
    data = {"file": file, **parts, "features": list(roles.features), "missing": missing}
    return OwnData(kind=roles.kind, data=data)


def _refusals(path: Path, file: str, roles: Roles, missing: Missing) -> tuple[Problem, ...]:
    try:
        own.load(task_of(str(path.resolve()), roles, missing), Path())
    except InputError as error:
        shown = str(path.resolve())
        return tuple(
            Problem(p.place.replace(shown, file), p.rule, p.remedy) for p in error.problems
        )
    return ()


def _figures(column: Column) -> FeatureFigures:
    there = column.values[~column.missing]
    missing = int(column.missing.sum())
    if not column.numeric or not len(there):
        return FeatureFigures(
            column.name, column.type, missing, categories=len(column.categories) or None
        )
    finite = there[np.isfinite(there)] if column.kind == "number" else there
    if not len(finite):
        return FeatureFigures(column.name, column.type, missing)
    figures = (float(finite.min()), float(finite.max()), float(finite.mean()))
    return FeatureFigures(column.name, column.type, missing, *figures)


def _of_features(features: Sequence[FeatureFigures]) -> list[str]:
    constant = [f.name for f in features if f.constant]
    return [f"{name} never changes: it tells nothing" for name in constant]


def _counts(table: Table, roles: Roles, role: str, begins: NDArray[np.int64]) -> dict[str, int]:
    if role not in roles.parts:
        return {}
    values = table.columns[roles.parts[role]].plain()[begins]
    found, counts = np.unique(values, return_counts=True)
    return {str(v): int(n) for v, n in zip(found.tolist(), counts.tolist(), strict=True)}
