"""Tables of the commands that list: trials, tasks, cells and a cluster's jobs."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from search.record import Record
from spaces.cells import CELLS, Cell


def trials_table(records: Sequence[Record], metric: str) -> Table:
    """Return a table with a row a trial: what it is, how it ended, what it is worth."""
    varying = _varying(records)
    table = Table()
    for name in ("arm", "trial", "state"):
        table.add_column(name)
    for name in (metric, "epochs", "parameters", "seconds"):
        table.add_column(name, justify="right")
    for name in varying:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("why")
    for record in records:
        marks = " control" if record.control else ""
        if record.phase == "confirm":
            marks = f" of {record.finalist}, seed {record.replicate}"
        table.add_row(
            escape(record.arm),
            f"{record.number}{marks}",
            record.state,
            "" if record.value is None else f"{record.value:.5g}",
            str(record.epochs),
            "" if record.parameters is None else f"{record.parameters:,}",
            f"{record.train_seconds:.1f}",
            *(_setting(record.config.get(name)) for name in varying),
            escape((record.reason or "").strip().splitlines()[-1][:80]) if record.reason else "",
        )
    return table


def _varying(records: Sequence[Record]) -> list[str]:
    """Return the settings in which the trials differ, the arm's own choice of cell aside."""
    names = records[0].config if records else {}
    return [n for n in names if len({str(record.config.get(n)) for record in records}) > 1]


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def tasks_table(tasks: Iterable[dict[str, Any]]) -> Table:
    """Return a table of the built-in tasks as `trainables.tasks.describe` gives them."""
    table = Table()
    for name in ("task", "kind", "metric", "inputs", "outputs", "options", "source"):
        table.add_column(name, overflow="fold")
    for task in tasks:
        options = ", ".join(f"{key}: {value}" for key, value in task["options"].items())
        table.add_row(
            *(escape(str(task[key])) for key in ("name", "kind", "metric", "inputs", "outputs")),
            escape(options),
            escape(task["source"]),
        )
    return table


def cells_table() -> Table:
    """Return a table of the catalogue."""
    table = Table(caption="A = IH + H² + H: one block of I inputs and H units with one bias")
    for name in ("family", "gates", "parameters a layer", "equations", "source"):
        table.add_column(name, overflow="fold")
    for row in describe_cells():
        table.add_row(*(escape(row[key]) for key in row))
    return table


def describe_cells() -> list[dict[str, str]]:
    """Return the catalogue as plain records."""
    return [_plain(cell) for cell in CELLS]


def _plain(cell: Cell) -> dict[str, str]:
    return {
        "family": cell.family,
        "gates": cell.gates,
        "formula": cell.formula,
        "equations": cell.equations,
        "source": cell.source,
    }


def jobs_table(jobs: Iterable[Any]) -> Table:
    """Return a table of a cluster's jobs (deploy.client.ClusterJob)."""
    table = Table()
    for name in ("id", "job", "state", "submitted", "message"):
        table.add_column(name, overflow="fold")
    for job in jobs:
        submitted = ""
        if job.submitted is not None:
            submitted = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.submitted / 1000))
        table.add_row(
            escape(job.id), escape(job.name or ""), job.state, submitted, escape(job.message)
        )
    return table
