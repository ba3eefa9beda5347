"""Tables of the commands that list: trials, tasks, cells, what a machine has."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from search.journal.reason import cause
from search.journal.trial import TrialResult
from search.results import format
from search.results.settings import varying
from search.run.doctor import Diagnosis, capability
from spaces.cells import CELLS, Cell
from spaces.text import readable
from trainables.training.measured_path import WORDS

_REASON = 300  # characters of a cause
WIDE = 120  #: columns of a terminal on which configurations are shown too


def trials_table(
    trials: Sequence[TrialResult], metric: str, width: int, resume: str | None = None
) -> Table:
    """Return a table with a row for each trial: what it is, how it ended, its value.

    width: columns of the terminal; configurations are shown from WIDE columns on.
    resume: where no driver is at work, the command that continues the job. A trial without an end
        is then shown as interrupted.
    """
    states = [_state(trial, interrupted=resume is not None) for trial in trials]
    table = compact_table(_trials_legend(states, width, resume))
    for name in ("arm", "trial", "state"):
        table.add_column(name, no_wrap=True)
    for name in (metric, "epochs", "parameters", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    last = "configuration, and why it ended" if width >= WIDE else "why it ended"
    table.add_column(last, overflow="fold")
    arms = dict.fromkeys(trial.arm for trial in trials)
    settings_of = {arm: varying([t.config for t in trials if t.arm == arm]) for arm in arms}
    for trial, state in zip(trials, states, strict=True):
        shown = settings_of[trial.arm] if width >= WIDE else ()
        settings = [f"{name} {format.plain(getattr(trial.config, name))}" for name in shown]
        reason = [cause(trial.reason)[:_REASON]] if trial.reason else []
        table.add_row(
            escape(trial.arm),
            _number(trial),
            state,
            format.value(trial.value),
            format.count(trial.epochs),
            format.count(trial.parameters),
            f"{trial.train_seconds:.1f}",
            escape(", ".join(settings + reason)),
        )
    return table


def _trials_legend(states: Sequence[str], width: int, resume: str | None) -> str:
    notes = []
    if "control" in states:
        notes.append("control: complete, drawn at random and never stopped")
    if resume is not None and "interrupted" in states:
        notes.append(f"interrupted: continues with `{escape(resume)}`")
    if width < WIDE:
        notes.append(f"configurations: in {WIDE} columns, or with --json")
    return "; ".join(notes)


def _number(trial: TrialResult) -> str:
    if trial.candidate is not None:
        return f"{trial.candidate}, split {trial.split}"
    if trial.phase == "confirm":
        kind = "seed" if trial.split is None else "split"
        return f"{trial.finalist}, {kind} {trial.replicate}"
    return str(trial.number)


def _state(trial: TrialResult, *, interrupted: bool) -> str:
    if trial.state == "running" and interrupted:
        return "interrupted"
    return "control" if trial.control and trial.state == "complete" else trial.state


def compact_table(caption: str | None = None) -> Table:
    """Return an empty table with a line below its head alone, and a legend below it."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")


def tasks_table(tasks: Iterable[dict[str, Any]], width: int) -> Table:
    """Return a table of the built-in tasks as `trainables.data.tasks.describe` gives them.

    Without sources and licences on a terminal of less than WIDE columns.
    """
    notes = [
        "your own data: task: {kind: classification, data: FILE}; `gatesearch init FILE` writes it"
    ]
    if width < WIDE:
        notes.append(f"sources and licences: in {WIDE} columns, or with --json")
    table = compact_table("; ".join(notes))
    for name in ("task", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("what it is", "options", *["source, licence"] * (width >= WIDE)):
        table.add_column(name, overflow="fold")
    for task in tasks:
        options = [
            name if option["required"] else f"{name}: {option['default']}"
            for name, option in task["options"].items()
            if option["required"] or option["default"] is not None
        ]
        row = [task["name"], task["kind"], task["summary"], ", ".join(options), task["source"]]
        table.add_row(*map(escape, row[: len(table.columns)]))
    return table


def cells_table(width: int) -> Table:
    """Return a table of the catalogue; without sources on a terminal of less than WIDE columns."""
    notes = ["A = IH + H² + H: one block of I inputs and H units with one bias"]
    if width < WIDE:
        notes.append(f"sources: in {WIDE} columns, or with --json")
    table = compact_table("; ".join(notes))
    for name in ("family", "gates", "parameters"):
        table.add_column(name, no_wrap=True)
    table.add_column("equations", overflow="fold")
    if width >= WIDE:
        table.add_column("source", overflow="fold")
    for row in describe_cells():
        table.add_row(*[escape(text) for text in row.values()][: len(table.columns)])
    return table


def describe_cells() -> list[dict[str, str]]:
    """Return the catalogue as plain values of JSON."""
    return [_plain(cell) for cell in CELLS]


def _plain(cell: Cell) -> dict[str, str]:
    return {
        "family": cell.family,
        "gates": cell.gates,
        "formula": cell.formula,
        "equations": cell.equations,
        "source": cell.source,
    }


def machine_table(found: Diagnosis) -> Table:
    """Return a table of what a machine has, one thing a row."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    has = found.machine
    quota = "no quota" if has.cores.quota is None else f"quota {has.cores.quota:g}"
    table.add_row(
        "cores",
        f"{has.cores.usable} to use (machine {has.cores.machine}, affinity {has.cores.affinity}, "
        f"{quota})",
    )
    table.add_row("memory", readable(has.memory_bytes))
    for card in has.cards:
        unusable = "" if card in has.torch.usable_cards else ", not usable"
        table.add_row(
            "card",
            f"{escape(card.name)}, {readable(card.memory_bytes)}, compute capability "
            f"{capability(card)}{unusable}",
        )
    if not has.cards:
        table.add_row("card", "none")
    table.add_row("driver", has.driver.version or format.ABSENT)
    for name, version in has.versions.items():
        built = f" (CUDA {has.torch.cuda})" if name == "torch" and has.torch.cuda else ""
        table.add_row(name, f"{escape(version or format.ABSENT)}{built}")
    return table


def paths_table(found: Diagnosis) -> Table:
    """Return a table of the paths that cells take, the cells of equal paths in one row."""
    table = compact_table()
    table.add_column("on the CPU", no_wrap=True)
    table.add_column("on the card", no_wrap=True)
    table.add_column("cells", overflow="fold")
    alike: dict[tuple[str, str], list[str]] = {}
    for paths in found.paths:
        card = format.ABSENT if paths.card is None else WORDS.get(paths.card, paths.card)
        key = (WORDS.get(paths.cpu, paths.cpu), card)
        alike.setdefault(key, []).append(paths.cell)
    for (cpu, card), names in alike.items():
        table.add_row(cpu, card, f"{len(names)}: {', '.join(names)}")
    return table


def day_and_minute(time_ms: int | None) -> str:
    """Return a time for people; nothing for None. time_ms: milliseconds since 1970."""
    if time_ms is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ms / 1000))
