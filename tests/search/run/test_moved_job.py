"""Where a job's journal and its runs in MLflow lie may change while it runs; what it is may not."""

from pathlib import Path
from typing import Any

import pytest
from driven import INFO, drive, job

from search.journal.file import FileJournal
from search.run.driver import Driver
from spaces.errors import InputError


def again(folder: Path, **changes: Any) -> str | None:
    """Open a job that has begun, by a changed file; return the server of its runs."""
    with FileJournal(folder / "job.journal") as journal:
        return Driver(job(folder, **changes), INFO, journal).job.tracking.uri


def test_a_job_s_database_and_tracking_server_may_be_moved_and_nothing_else(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path, most_reports=2)
    there = "http://there:5000"
    study = {"study": "postgresql://there/restored"}
    assert again(tmp_path, tracking={"uri": there}, storage=study) == there
    for changes in ({"storage": {"checkpoints": "s3://there/folder"}}, {"search": {"trials": 9}}):
        with pytest.raises(InputError, match="the job 'driven' must be as it was"):
            again(tmp_path, **changes)
