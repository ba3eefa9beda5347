"""What is refused before anything is written, and what a job leaves in its folder."""

import io
import os
import socket
from dataclasses import replace
from pathlib import Path

import driven
import pytest
from driven import INFO
from rich.console import Console
from server_process import free_ports
from servers import wait_until
from written_jobs import WrittenJob

from search.job.folder import stored_job
from search.journal.open import open_journal
from search.run import session
from search.run.driver import Driver
from search.run.session import begin, execute
from search.tracking.mirror import start_mirror
from search.tracking.state import mirror_state
from spaces.errors import InputError
from trainables.data import tasks


def test_a_folder_whose_name_is_no_utf_8_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """As an old archive leaves it: neither Ray nor the journal could name it."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe"))
    odd.mkdir()
    for base, root in ((odd, tmp_path / "runs"), (tmp_path, odd)):
        with pytest.raises(InputError, match="must be UTF-8"):
            begin(driven.job(base), INFO, base / "job.yaml", root)
    assert [path for path in tmp_path.rglob("*") if path != odd] == []


def test_a_job_without_a_file_of_its_own_is_kept_by_its_values(tmp_path: Path) -> None:
    job = driven.job(tmp_path)
    folder = begin(job, INFO, tmp_path / "job.yaml", tmp_path / "runs")
    assert stored_job(folder).dump() == job.dump()


def test_a_finished_job_of_another_root_gets_its_report_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    """Its journal is in a database, where it is known by its name."""
    job = driven.job(tmp_path)
    folder = begin(job, INFO, tmp_path / "job.yaml", tmp_path / "runs")
    driven.drive(job, folder)
    with open_journal(job, folder) as journal:
        Driver(job, INFO, journal).done()
    data = replace(tasks.load(job.task, job.base), info=INFO)
    console = Console(file=io.StringIO(), width=200)
    execute(job, data, folder, console)
    assert (folder / "report.html").is_file() and (folder / "results.parquet").is_file()


def test_a_run_that_fails_says_which_process_it_leaves_behind(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels", pid=os.getpid(), host=socket.gethostname())
    console = Console(file=io.StringIO(), width=500)
    mirror = start_mirror(job.folder, f"http://127.0.0.1:{free_ports(1)[0]}", os.getpid())
    try:
        wait_until(lambda: mirror_state(job.folder).error is not None, "the server is missed")
        session._tell_of_mirror(mirror, job.folder, console)
    finally:
        mirror.stop()
    session._tell_of_mirror(mirror, job.folder, console)
    (told,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"Process {mirror.pid} goes on trying for up to two minutes" in told
    assert "connection refused" in told.lower() and "gatesearch mirror vowels --root" in told
