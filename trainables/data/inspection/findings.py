"""Sequences, features and classes of a user's data in figures."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from spaces.errors import InputError, Problem
from spaces.kinds import predicts_itself
from spaces.own_data import FILE, FOLDER, DataSection, Missing, several
from spaces.own_task import OwnData
from trainables.data.formats import own
from trainables.data.formats.table import Column, Table, check_names
from trainables.data.inspection import pitfalls
from trainables.data.inspection.roles import Roles
from trainables.data.inspection.rows import counted, sequence_rows, values_of

#: Steps ahead that a first job forecasts, at most, and the share of a series that they may be.
MOST_AHEAD, LEAST_HORIZONS = 12, 15
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
    features: tuple[FeatureFigures, ...]  #: of forecasting with what is forecast, first
    left_out: tuple[str, ...]  #: columns that play no part
    classes: dict[str, int]  #: sequences of each class or with each label; of tagging, steps
    parts: dict[str, int]  #: sequences of each part of the user's split
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]  #: why a job with this data would be refused
    test: str | None = None  #: a second file, whose sequences are the test part
    tested: int | None = None  #: its sequences
    trained: int | None = None  #: sequences or windows for training; None where it is refused

    @property
    def task(self) -> OwnData:
        """The task of a job file, with the file as it was given."""
        missing = missing_of(self.features, self.roles)
        return task_of(self.file, self.roles, missing, self.test, horizon_of(self.lengths[2]))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types."""
        low, median, high = self.lengths
        return {
            "file": self.file,
            "kind": self.roles.kind,
            "rows": self.rows,
            "sequences": self.sequences,
            "lengths": {"least": low, "median": median, "greatest": high},
            "test": self.test,
            "test_sequences": self.tested,
            "training_sequences": self.trained,
            "columns": dict(self.roles.parts),
            "features": [{**asdict(f), "constant": f.constant} for f in self.features],
            "left_out": list(self.left_out),
            "classes": self.classes,
            "split": self.parts,
            "warnings": list(self.warnings),
            "refusals": [asdict(problem) for problem in self.refusals],
        }


@dataclass(frozen=True)
class TestFile:
    """A second file, whose sequences are the test part. file: as a job file is to have it."""

    path: Path
    file: str
    table: Table


def inspect(
    path: Path, file: str, table: Table, roles: Roles, test: TestFile | None = None
) -> Inspection:
    """Return what is in a table. file: its path as a job file is to have it.

    Raises InputError where the parts of columns fit no job.
    """
    sequences = sequence_rows(table, roles.one("id"))
    lengths = sequences.lengths
    read = roles.features
    if roles.kind == "forecasting":
        read = (*roles.targets, *(name for name in read if name not in roles.targets))
    features = tuple(_figures(table.columns[name]) for name in read)
    taken = {*read, *(n for names in roles.parts.values() for n in several(names))}
    tested = None
    if test is not None:
        wanted = [n for n in (*read, roles.one("id"), roles.one("time")) if n is not None]
        check_names(list(test.table.columns), wanted, test.table.place)
        tested = len(sequence_rows(test.table, roles.one("id")).lengths)
    refusals, left_out, trained = _tried(
        path, file, roles, missing_of(features, roles), test, horizon_of(int(lengths.max()))
    )
    return Inspection(
        file=file,
        rows=table.rows,
        roles=roles,
        sequences=len(lengths),
        lengths=(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        features=features,
        left_out=tuple(name for name in table.columns if name not in taken),
        classes=_classes(table, roles, sequences.begins),
        parts=_counts(table, roles.one("split"), sequences.begins),
        warnings=(
            *pitfalls.leakage(table, roles, sequences),
            *(() if test is None else pitfalls.of_test_file(table, test.table, roles)),
            *_of_features(features),
            *pitfalls.of_time(table, roles, sequences),
            *pitfalls.too_little(table, roles, sequences, tested),
            *left_out,
        ),
        refusals=refusals,
        test=None if test is None else test.file,
        tested=tested,
        trained=trained,
    )


def horizon_of(longest: int) -> int:
    """Return steps ahead to forecast in a first job, for which series are long enough."""
    return max(1, min(MOST_AHEAD, longest // LEAST_HORIZONS))


def missing_of(features: Sequence[FeatureFigures], roles: Roles) -> Missing:
    """Return what a job is to make of missing values: forward, where numbers have any."""
    gaps = any(each.missing and each.categories is None for each in features)
    return "forward" if gaps and not predicts_itself(roles.kind) else "refuse"


def task_of(
    file: str,
    roles: Roles,
    missing: Missing = "refuse",
    test: str | None = None,
    horizon: int | None = None,
) -> OwnData:
    """Return the task of a job file. Raises InputError where the parts fit no job."""
    ahead = {"horizon": horizon} if roles.kind == "forecasting" else {}
    data: dict[str, Any] = {"file": file, "test": test, "missing": missing}
    try:
        section = DataSection(file=file)
        sounds = section.is_folder and FILE not in roles.parts.values()
        if not sounds and (section.is_table or section.is_folder):
            folder = section.is_folder
            data |= {r: c for r, c in roles.parts.items() if not folder or c not in BOTH}
            data |= {"features": list(roles.features)} if roles.features else {}
        return OwnData.model_validate({"kind": roles.kind, "data": data, **ahead})
    except ValidationError as error:
        faults = [fault for each in error.errors() for fault in each["ctx"]["faults"]]
        raise InputError([Problem(file, fault.rule, fault.remedy) for fault in faults]) from error


def _tried(
    path: Path,
    file: str,
    roles: Roles,
    missing: Missing,
    test: TestFile | None,
    horizon: int,
) -> tuple[tuple[Problem, ...], list[str], int | None]:
    """Return why a job with the data would be refused, what it would leave out and train on."""
    shown, second = str(path.resolve()), None if test is None else str(test.path.resolve())
    try:
        left_out, trained = own.check(task_of(shown, roles, missing, second, horizon), Path())
    except InputError as error:
        problems = [
            Problem(p.place.replace(shown, file), p.rule.replace(shown, file), p.remedy)
            for p in error.problems
        ]
        return tuple(problems), [], None
    return (), [each.sentence for each in left_out], trained


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


def _classes(table: Table, roles: Roles, begins: NDArray[np.int64]) -> dict[str, int]:
    """Return how many sequences each class or label has; of tagging, steps."""
    match roles.kind:
        case "classification":
            return _counts(table, roles.targets[0], begins)
        case "tagging":
            return _counts(table, roles.targets[0])
        case "multi-label":
            found = {name: table.columns[name].values[begins] for name in roles.targets}
            return {name: int((values == 1).sum()) for name, values in found.items()}
        case _:
            return {}


def _counts(
    table: Table, name: str | None, rows: NDArray[np.int64] | None = None
) -> dict[str, int]:
    """Return how often each value is there: in some rows, or in all."""
    if name is None:
        return {}
    column = table.columns[name]
    found, counts = counted(values_of(column) if rows is None else iter([column.values[rows]]))
    names = Column(name, column.kind, found, found != found, column.categories).plain()
    return {str(v): int(n) for v, n in zip(names.tolist(), counts.tolist(), strict=True)}
