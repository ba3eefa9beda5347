"""What a journal's records may say: names that are no paths, figures that are numbers."""

from pathlib import Path
from typing import Any

import pytest
from written_jobs import WrittenJob

from search.journal.base import JournalError
from search.journal.file import FileReader
from search.journal.replay import JobState
from search.results.read import read_results
from spaces.errors import InputError

KEY = "search/lstm/0"
REPORT = {"record": "report", "key": KEY, "generation": 1, "epochs": [], "checkpoint": None}
EPOCH = {"epoch": 1, "train_loss": 1.0, "value": 0.5, "seconds": 0.1, "time": 1}
BASELINES = {"record": "baselines", "time": 1}
END = {"record": "end", "key": KEY, "state": "complete", "time": 1}

UNSOUND: dict[str, dict[str, Any]] = {
    "a checkpoint that is a path": REPORT | {"checkpoint": "../../../x"},
    "a checkpoint that is absolute": REPORT | {"checkpoint": "/etc"},
    "a checkpoint that is a draft": REPORT | {"checkpoint": ".search-lstm-0-g1-e1"},
    "a checkpoint below another": REPORT | {"checkpoint": "search-lstm-0-g1-e1/../../x"},
    "a checkpoint that is a list": REPORT | {"checkpoint": ["x"]},
    "an epoch before the first": REPORT | {"epochs": [EPOCH | {"epoch": 0}]},
    "a value that is no number": REPORT | {"epochs": [EPOCH | {"value": "0.5"}]},
    "a value that is not finite": REPORT | {"epochs": [EPOCH | {"value": 1e300}]},
    "a path that is none": REPORT | {"path": "../../x"},
    "a path with colours": REPORT | {"path": "engine/\x1b[31m/float32"},
    "a report on nothing": REPORT | {"key": "search/lstm/7"},
    "a baseline that is text": BASELINES
    | {"baselines": [{"name": "unigram", "validation": {"loss": "low"}, "test": {}}]},
    "a test part of nothing": BASELINES
    | {"baselines": [{"name": "unigram", "validation": {}, "test": {}, "test_sequences": 0}]},
    "an unknown state": END | {"state": "won"},
    "an end without a time": {"record": "end", "key": KEY, "state": "complete"},
    "a phase of its own": {"record": "phase", "phase": "<script>", "time": 1},
    "a time beyond the calendar": {"record": "phase", "phase": "done", "time": 10**18},
    "a later kind with a time that is none": {"record": "later", "time": "noon"},
}


@pytest.fixture
def job(tmp_path: Path) -> WrittenJob:
    """A job with a trial that has begun."""
    job = WrittenJob(tmp_path / "vowels")
    job.trial(KEY)
    return job


@pytest.mark.parametrize("case", UNSOUND)
def test_an_unsound_record_is_refused_where_it_is_read(case: str, job: WrittenJob) -> None:
    read_results(job.folder)
    job.write(UNSOUND[case])
    with pytest.raises(JournalError, match=r"Restore the journal from a copy"):
        JobState().apply_all(FileReader(job.folder / "job.journal").groups())
    with pytest.raises(InputError, match=r"Restore the journal from a copy"):
        read_results(job.folder)


def test_baselines_must_follow_the_jobs_own_record(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="must follow the records of job and driver"):
        JobState().apply_all([[BASELINES | {"baselines": []}]])


@pytest.mark.parametrize("key", ["search/../0", "search/a/b/0", "search/other/0"])
def test_a_trial_of_no_arm_of_the_job_is_refused(key: str, job: WrittenJob) -> None:
    job.trial(key)
    with pytest.raises(InputError, match="must be of an arm of the job: lstm and rnn"):
        read_results(job.folder)


def test_a_trial_whose_key_is_not_its_own_is_refused(job: WrittenJob) -> None:
    job.trial("search/lstm/1", number=2)
    with pytest.raises(InputError, match="key of a trial"):
        read_results(job.folder)


@pytest.mark.parametrize("name", ["finalist", "candidate", "replicate"])
def test_a_trial_of_the_search_that_is_a_replicate_is_refused(name: str, job: WrittenJob) -> None:
    job.trial("search/lstm/1", **{name: 0})
    with pytest.raises(InputError, match="must not be a replicate in the search"):
        read_results(job.folder)


def test_what_a_later_version_adds_is_passed_over(job: WrittenJob) -> None:
    job.write({"record": "later", "time": 1, "more": {}}, REPORT | {"more": [1]})
    job.write(REPORT | {"epochs": [EPOCH | {"more": 1}]})
    full = {"bytes": 2 * 10**9, "limit_gb": 1.0, "more": 1}
    job.write({"record": "full", "full": full, "time": 1})
    runs = {"server": "http://h", "experiment_id": "1", "runs": {KEY: "run"}, "more": 1}
    job.write({"record": "runs", "runs": runs, "time": 1})
    assert "2 GB" in (read_results(job.folder).full or "")
    assert read_results(job.folder).trials[0].epochs == 1
