"""The tables of the commands that list: states, legends, widths."""

import io
import os
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
from made_results import made
from rich.console import Console
from rich.table import Table
from written_jobs import WrittenJob

from search.cli.tables import cells_table, trials_table
from search.journal.file import FileJournal
from search.results.read import read_results
from spaces.cells import CELLS


def shown(table: Table, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("gone", "host", "driven"),
    [
        (True, socket.gethostname(), False),
        (False, socket.gethostname(), True),
        (True, "elsewhere", True),  # of which nothing is known here
    ],
)
def test_a_trial_without_a_driver_is_shown_as_interrupted(
    tmp_path: Path, gone: bool, host: str, driven: bool
) -> None:
    written = WrittenJob(tmp_path / "vowels", pid=os.getpid(), host=host)
    written.trial("search/lstm/0", config={})
    (tmp_path / "vowels" / "job.yaml").unlink()
    with nullcontext() if gone else FileJournal(tmp_path / "vowels" / "job.journal"):
        found = read_results(tmp_path / "vowels")
    assert found.driven is driven
    again = None if found.driven else "gatesearch resume vowels"
    text = shown(trials_table(found.search, "accuracy", 200, again))
    assert ("interrupted" in text, "running" in text) == (not driven, driven)
    assert ("gatesearch resume vowels" in text) is not driven


def test_the_legend_explains_only_what_is_there(tmp_path: Path) -> None:
    trials = made(tmp_path).search
    assert "control: complete, drawn at random" in shown(trials_table(trials, "accuracy", 200))
    sampled = [trial for trial in trials if not trial.control]
    assert "control" not in shown(trials_table(sampled, "accuracy", 200))


@pytest.mark.parametrize("width", [80, 120])
def test_names_and_formulas_of_cells_stand_whole_on_one_line(width: int) -> None:
    lines = shown(cells_table(width), width).splitlines()
    assert max(map(len, lines)) <= width
    for cell in CELLS:
        assert any(
            line.split("  ")[0].strip() == cell.family
            and f" {cell.gates} " in line
            and f" {cell.formula} " in line
            for line in lines
        ), cell
