"""What is refused before anything is written, and what a job leaves in its folder."""

import io
import os
from dataclasses import replace
from pathlib import Path

import driven
import pytest
from driven import INFO
from rich.console import Console

from search.job.folder import stored_job
from search.journal.open import open_journal
from search.run.driver import Driver
from search.run.session import begin, execute
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
