"""Jobs whose journals an earlier version kept in PostgreSQL are read and go on as they were.

tests/data/journal_before/README.md says what the data are.
"""

import json
from pathlib import Path

import pytest
from driven import INFO, Workers
from servers import Postgres

from search.job.folder import stored_job
from search.journal.open import open_journal, open_reader
from search.journal.replay import JobState
from search.results.read import read_results
from search.run.driver import Driver
from search.run.shared_storage import shared_folder, shared_names

DATA = Path(__file__).resolve().parents[2] / "data" / "journal_before"
EXPECTED = json.loads((DATA / "expected.json").read_text())


@pytest.fixture
def url(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database, restored under another name than the jobs were begun with."""
    restored = postgres.database()
    postgres.run(restored, (DATA / "tables.sql").read_text())
    monkeypatch.setenv("GATESEARCH_STORAGE", restored)
    return restored


def by_name(name: str, root: Path) -> Path:
    folder = shared_folder(name, root)
    assert folder is not None
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_a_job_of_before_is_found_by_name_and_has_the_same_figures(
    name: str, url: str, tmp_path: Path
) -> None:
    assert shared_names() == sorted(EXPECTED)
    folder = by_name(name, tmp_path)
    assert stored_job(folder).storage.study == url
    found = {
        f"{trial.phase}/{trial.arm}/{trial.number}": [trial.state, trial.value, trial.epochs]
        for trial in read_results(folder).trials
    }
    assert found == EXPECTED[name]


def test_a_job_that_was_interrupted_before_goes_on_to_its_end(url: str, tmp_path: Path) -> None:
    folder = by_name("interrupted", tmp_path)
    job = stored_job(folder)
    for _ in range(2):  # nothing is trained again
        with open_journal(job, folder) as journal:
            Workers(Driver(job, INFO, journal), slots=2).run()
        state = JobState()
        state.apply_all(open_reader(folder).groups())
        assert state.phase == "report"
        assert len(state.trials) == 2 * 2 + 2
        assert {trial.state for trial in state.trials.values()} <= {"complete", "pruned"}
        for trial in state.trials.values():
            assert [point.epoch for point in trial.curve] == list(range(1, trial.epoch + 1))
