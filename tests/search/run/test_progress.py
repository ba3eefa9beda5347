"""What a running job shows tells what it waits for, on a terminal and elsewhere."""

import io
from pathlib import Path

import pytest
from driven import INFO, job
from rich.console import Console

from search.journal.file import FileJournal
from search.run.driver import Driver
from search.run.lines import waits_shown
from search.run.progress import shown
from trainables.patience import show_wait

WAIT = "waiting for s3://bucket: no answer [500] (7 of 120 s)"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_job_that_waits_for_a_store_says_so(tmp_path: Path, terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    show_wait(id(console), WAIT)
    try:
        with FileJournal(tmp_path / "job.journal") as journal:
            driver = Driver(job(tmp_path), INFO, journal)
            with shown(driver, console):
                pass
    finally:
        show_wait(id(console), None)
    assert WAIT in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_command_without_progress_says_what_it_waits_for() -> None:
    console = Console(file=io.StringIO(), width=200)
    with waits_shown(console):
        pass
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]
    show_wait(id(console), WAIT)
    try:
        with waits_shown(console):
            pass
    finally:
        show_wait(id(console), None)
    assert console.file.getvalue() == f"{WAIT}\n"  # type: ignore[attr-defined]
