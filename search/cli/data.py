"""Commands for a user's own data: what is in it, and a job file to start from."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from search.cli.options import AsJson, user_path
from search.cli.terminal import Terminal, print_json, print_note, print_text
from spaces.errors import InputError
from spaces.kinds import TaskKind
from spaces.own_data import several
from spaces.text import named

if TYPE_CHECKING:
    from rich.table import Table

    from trainables.data.inspection.findings import Inspection
    from trainables.training.preparation import Prepared

MOST_ROWS_TRIED = 1_000_000  #: of series: more are not read again and again
app = typer.Typer()

DataFile = Annotated[
    Path,
    typer.Argument(
        help="A .csv, .parquet, .ts, .txt or .npz file, or a folder.",
        metavar="DATA",
        parser=user_path,
    ),
]
Id = Annotated[str | None, typer.Option("--id", help="Column: the sequence of each row.")]
Time = Annotated[str | None, typer.Option(help="Column: the order of rows in a sequence.")]
Target = Annotated[
    str | None, typer.Option(help="Column: what is predicted; several with commas between them.")
]
Split = Annotated[str | None, typer.Option(help="Column: train, validation or test.")]
Group = Annotated[str | None, typer.Option(help="Column: what stays in one part together.")]
Features = Annotated[
    str | None, typer.Option(help="Columns that a model reads, with commas between them.")
]
Test = Annotated[
    Path | None,
    typer.Option(help="A second file, whose sequences are the test part.", parser=user_path),
]
Kind = Annotated[TaskKind | None, typer.Option(help="What is predicted; found by default.")]


@app.command()
def inspect(
    data: DataFile,
    id_: Id = None,
    time: Time = None,
    target: Target = None,
    split: Split = None,
    group: Group = None,
    features: Features = None,
    test: Test = None,
    kind: Kind = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in a file: sequences, features, classes, and what to mind before a search.

    Example: gatesearch inspect pumps.csv
    """
    parts = {"id": id_, "time": time, "target": target, "split": split, "group": group}
    found = _inspected(data, None, parts, features, kind, test)
    if as_json:
        print_json(found.as_dict())
        return
    _print(found)
    if not found.refusals:
        second = [] if test is None else ["--test", str(test)]
        print_text(f"Next: gatesearch init {shlex.join([str(data), *second])} --out job.yaml")


@app.command()
def init(
    data: DataFile,
    out: Annotated[
        Path | None, typer.Option(help="The job file to write.", parser=user_path)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The job's name; the file's by default.")] = None,
    id_: Id = None,
    time: Time = None,
    target: Target = None,
    split: Split = None,
    group: Group = None,
    features: Features = None,
    test: Test = None,
    kind: Kind = None,
) -> None:
    """Write a job file for your own data, ready to run.

    Example: gatesearch init pumps.csv --out job.yaml && gatesearch run job.yaml
    """
    from search.job.draft import draft
    from search.job.spec import JobSpec
    from trainables.files import write_new

    folder = Path() if out is None else out.parent
    if out is not None and (out.exists() or out.is_symlink()):
        raise InputError.of("--out", f"{out} must not exist yet", "name another file, or remove it")
    if not folder.is_dir():
        raise InputError.of("--out", f"the folder {folder} must exist", "make it, or name another")
    parts = {"id": id_, "time": time, "target": target, "split": split, "group": group}
    found = _inspected(data, folder, parts, features, kind, test)
    if found.refusals:
        raise InputError(found.refusals)
    text = draft(found, name or data.stem, _prepared(found, folder))
    JobSpec.loads(text, "the job file", base=folder)
    if out is None:
        print_text(text, end="")
        return
    write_new(out, text.encode())
    for warning in found.warnings:
        print_note(warning)
    print_text(f"{out} compares lstm and gru on {found.sequences} sequences ({found.roles.kind}).")
    print_text(f"Next: gatesearch run {shlex.quote(str(out))}")


def _prepared(found: "Inspection", folder: Path) -> "Prepared | None":
    """Return how series are best learned; None of other kinds, or where that takes too long."""
    if found.roles.kind != "forecasting":
        return None
    if found.rows > MOST_ROWS_TRIED:
        print_note(
            f"no season, difference or transform is tried on more than {MOST_ROWS_TRIED:,} rows: "
            "write into the task what you know of them"
        )
        return None
    from trainables.training.preparation import prepare

    print_note("trying how the series are learned best, which takes seconds")
    return prepare(found.task, folder)


def _inspected(
    data: Path,
    folder: Path | None,
    parts: dict[str, str | None],
    features: str | None,
    kind: TaskKind | None,
    test: Path | None,
) -> "Inspection":
    """Return what is in a file. folder: that of a job file, whose paths start there."""
    from trainables.data.inspection import source
    from trainables.data.inspection.findings import TestFile, inspect
    from trainables.data.inspection.roles import find_roles

    def written(path: Path) -> str:
        return str(path) if folder is None else os.path.relpath(path.resolve(), folder.resolve())

    table, given = source.read(data)
    given |= {role: name for role, name in parts.items() if name is not None}
    if (target := parts["target"]) is not None and target not in table.columns:
        given["target"] = _split(target) if "," in target else target
    roles = find_roles(table, given, None if features is None else _split(features), kind)
    second = None if test is None else TestFile(test, written(test), source.read(test)[0])
    return inspect(data, written(data), table, roles, second)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))


def _print(found: "Inspection") -> None:
    from search.results.format import plural

    console = Terminal()
    low, median, high = found.lengths
    steps = f"{low} steps each" if low == high else f"{low} to {high} steps, {median} as a median"
    sequences = plural(found.sequences, "sequence")
    facts = [f"{found.file}: {sequences} of {steps} ({plural(found.rows, 'row')})"]
    facts.append(f"taken for {found.roles.kind}")
    facts += [
        f"{role:8} {', '.join(map(named, several(names)))}"
        for role, names in found.roles.parts.items()
    ]
    if found.test is not None:
        facts.append(f"test     {found.test}: {plural(found.tested or 0, 'sequence')}")
    classes = "labels" if found.roles.kind == "multi-label" else "classes"
    for title, counts in ((classes, found.classes), ("parts", found.parts)):
        if counts:
            shown = [f"{named(name)} {number}" for name, number in list(counts.items())[:12]]
            facts.append(f"{title:8} {', '.join(shown)}{', …' * (len(counts) > 12)}")
    if found.left_out:
        facts.append(f"no part  {', '.join(map(named, found.left_out[:12]))}")
    console.print("\n".join(facts), markup=False, highlight=False, soft_wrap=True)
    console.print(_features(found))
    for warning in found.warnings:
        print_note(warning)
    for problem in found.refusals:
        print_note(f"a job would be refused. {problem}")


def _features(found: "Inspection") -> "Table":
    from search.cli.tables import compact_table

    table = compact_table()
    for column in ("feature", "type", "least", "mean", "greatest", "missing"):
        table.add_column(column, justify="left" if column in ("feature", "type") else "right")
    for feature in found.features:
        if feature.least is None:
            shown = [f"{feature.categories or 0} different", "", ""]
        else:
            numbers = (feature.least, feature.mean, feature.greatest)
            shown = ["" if number is None else f"{number:.4g}" for number in numbers]
        missing = str(feature.missing) if feature.missing else ""
        table.add_row(escape(named(feature.name)), escape(feature.type), *shown, missing)
    return table
