"""Tables of the commands that list: trials, tasks, cells and a cluster's jobs."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from search.journal.trial import TrialResult
from spaces.cells import CELLS, Cell

WIDE = 120  #: columns of a terminal on which configurations are shown too


def trials_table(
    records: Sequence[TrialResult], metric: str, width: int, *, driven: bool = True
) -> Table:
    """Return a table with a row a trial: what it is, how it ended, what it is worth.

    The configurations are left out on a terminal of less than WIDE columns.

    driven: whether a driver is at work; if not, what has no end was interrupted.
    """
    notes = []
    states = [_state(record, driven) for record in records]
    if "control" in states:
        notes.append("control: complete, drawn at random and never stopped")
    if "interrupted" in states:
        notes.append("interrupted: goes on with `gatesearch resume`")
    if width < WIDE:
        notes.append(f"configurations: in {WIDE} columns, or with --json")
    table = _compact("; ".join(notes))
    for name in ("arm", "trial", "state"):
        table.add_column(name, no_wrap=True)
    for name in (metric, "epochs", "parameters", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    last = "configuration, and why it ended" if width >= WIDE else "why it ended"
    table.add_column(last, overflow="fold")
    varying = {arm: _varying([r for r in records if r.arm == arm]) for arm in _arms(records)}
    for record, state in zip(records, states, strict=True):
        trial = str(record.number)
        if record.phase == "confirm":
            trial = f"{record.finalist}, seed {record.replicate}"
        shown = varying[record.arm] if width >= WIDE else []
        settings = [f"{n} {_setting(record.config.get(n))}" for n in shown]
        reason = (record.reason or "").strip().splitlines()[-1:]
        table.add_row(
            escape(record.arm),
            trial,
            state,
            "" if record.value is None else f"{record.value:.4g}",
            str(record.epochs),
            "" if record.parameters is None else f"{record.parameters:,}",
            f"{record.train_seconds:.1f}",
            escape(", ".join(settings + [line[:200] for line in reason])),
        )
    return table


def _state(record: TrialResult, driven: bool) -> str:
    if record.state == "running" and not driven:
        return "interrupted"
    return "control" if record.control and record.state == "complete" else record.state


def _compact(caption: str | None = None) -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")


def _arms(records: Sequence[TrialResult]) -> list[str]:
    return list(dict.fromkeys(record.arm for record in records))


def _varying(records: Sequence[TrialResult]) -> list[str]:
    """Return the settings in which the trials of an arm differ."""
    return [
        name
        for name in records[0].config
        if len({str(record.config.get(name)) for record in records}) > 1
    ]


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def tasks_table(tasks: Iterable[dict[str, Any]]) -> Table:
    """Return a table of the built-in tasks as `trainables.tasks.describe` gives them."""
    table = _compact("your own data: task: {kind: classification, data: FILE.npz}; see the README")
    for name in ("task", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("what it is", "options"):
        table.add_column(name, overflow="fold")
    for task in tasks:
        options = [
            name if option["required"] else f"{name}: {option['default']}"
            for name, option in task["options"].items()
            if option["required"] or option["default"] is not None
        ]
        table.add_row(
            *(escape(task[key]) for key in ("name", "kind", "summary")), escape(", ".join(options))
        )
    return table


def cells_table(width: int) -> Table:
    """Return a table of the catalogue; without sources on a terminal of less than WIDE columns."""
    notes = ["A = IH + H² + H: one block of I inputs and H units with one bias"]
    if width < WIDE:
        notes.append(f"sources: in {WIDE} columns, or with --json")
    table = _compact("; ".join(notes))
    for name in ("family", "gates", "parameters"):
        table.add_column(name, no_wrap=True)
    table.add_column("equations", overflow="fold")
    if width >= WIDE:
        table.add_column("source", overflow="fold")
    for row in describe_cells():
        table.add_row(*[escape(text) for text in row.values()][: len(table.columns)])
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
    table = _compact()
    for name in ("id", "job", "state", "submitted"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for job in jobs:
        submitted = ""
        if job.submitted is not None:
            submitted = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.submitted / 1000))
        table.add_row(
            escape(job.id), escape(job.name or ""), job.state, submitted, escape(job.message)
        )
    return table
