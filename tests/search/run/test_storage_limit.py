"""A job holds no more than its limit: what is of least use goes first, then nothing new begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import driven
import pytest
from driven import INFO, Workers, told

from search.job.folder import check_same_job, store_job
from search.job.spec import JobSpec
from search.journal.open import open_journal
from search.journal.replay import JobState
from search.run.confirmation import Confirmation
from search.run.driver import Driver
from search.run.retention import Retention
from search.run.standing import sentences, standing
from search.run.storage_limit import StorageFullError, StorageLimit
from trainables.worker.messages import TrialAssignment, TrialReport

SIZE = 100_000_000  # bytes of each checkpoint
SEARCH = {"trials": 6, "control_fraction": 1.0, "pruner": {"kind": "none"}}  # all are complete


def job(folder: Path, limit_gb: float | None, **storage: Any) -> JobSpec:
    storage["limit_gb"] = limit_gb
    return driven.job(
        folder, arms=["rnn", "gru"], search=SEARCH, confirm={"seeds": 1}, storage=storage
    )


def run(spec: JobSpec, folder: Path) -> JobState:
    """Run a job as far as it goes, with two workers."""
    with open_journal(spec, folder) as journal:
        Workers(Driver(spec, INFO, journal), slots=2, stores=lambda work: SIZE).run()
    return told(folder)


def held(spec: JobSpec, state: JobState, keep_best: int | None) -> int:
    retention = Retention(spec, state, Confirmation(spec, state), keep_best)
    return StorageLimit(spec, state, retention).bytes


def test_what_a_job_holds_is_what_it_keeps(tmp_path: Path) -> None:
    spec = job(tmp_path, None, keep_best=2)
    state = run(spec, tmp_path)
    assert state.phase == "report"
    assert held(spec, state, 2) == 2 * 2 * SIZE, "the best two of each arm"


def test_over_its_limit_a_job_keeps_finalists_alone_and_ends_in_full(tmp_path: Path) -> None:
    """Two running trials have two checkpoints each, beside the best of each arm."""
    spec = job(tmp_path, 0.75)
    state = run(spec, tmp_path)
    assert state.phase == "report"
    assert state.full is None
    assert len(state.trials) == 2 * (6 + 1)
    store_job(tmp_path, spec, "job.yaml")
    found = standing(tmp_path)
    assert found is not None
    assert found["storage"]["bytes"] == held(spec, state, 1) == 2 * SIZE, "what went is not counted"


def test_a_resumed_job_does_not_count_what_went_before(tmp_path: Path) -> None:
    spec = job(tmp_path, 0.75)
    with open_journal(spec, tmp_path) as journal:
        Workers(Driver(spec, INFO, journal), stores=lambda work: SIZE).run(most_reports=10)
    assert held(spec, told(tmp_path), None) > 0.75e9
    with open_journal(spec, tmp_path) as journal:
        assert Driver(spec, INFO, journal).could_begin() == 2


def test_where_that_is_not_enough_nothing_new_begins_and_the_job_says_why(tmp_path: Path) -> None:
    spec = job(tmp_path, 0.15)
    with pytest.raises(StorageFullError, match=r"over storage\.limit_gb: 0\.15.*raise the limit"):
        run(spec, tmp_path)
    state = told(tmp_path)
    assert {trial.state for trial in state.trials.values()} == {"complete"}, "none is cut short"
    assert 0 < len(state.trials) < 12
    assert held(spec, state, 1) > 0.15e9
    store_job(tmp_path, spec, "job.yaml")
    found = standing(tmp_path)
    assert found is not None
    assert found["storage"]["full"] is not None
    assert "nothing new was begun" in sentences(found)[-1]
    with open_journal(spec, tmp_path) as journal:
        assert Driver(spec, INFO, journal).could_begin() == 0, "no cluster grows for it"


class Scorers(Workers):
    """Workers whose scores of test examples are large."""

    def slice(self, work: TrialAssignment) -> TrialReport:
        report = super().slice(work)
        if report.test is None:
            return report
        name = f"{work.key.replace('/', '-')}-g{work.generation}-scores"
        scores = {"name": name, "sha256": "0" * 64}
        return replace(report, checkpoint=None, scores=scores, stored={name: SIZE})


def test_scores_of_candidates_count_and_stay(tmp_path: Path) -> None:
    confirm = {"design": "nested", "replicates": 3, "configurations": 2}

    def score(limit_gb: float) -> JobState:
        storage = {"limit_gb": limit_gb}
        spec = driven.job(
            tmp_path, arms=["gru"], search={"trials": 1}, confirm=confirm, storage=storage
        )
        with open_journal(spec, tmp_path) as journal:
            Scorers(Driver(spec, INFO, journal)).run()
        return told(tmp_path)

    with pytest.raises(StorageFullError):
        score(0.15)
    assert [trial.scored for trial in told(tmp_path).trials.values()].count(True) == 2
    state = score(10)
    assert state.phase == "report"
    assert sum(size for trial in state.trials.values() for size in trial.sizes.values()) == 3 * SIZE


def test_with_a_higher_limit_it_goes_on_to_what_it_would_have_been(tmp_path: Path) -> None:
    held_back, undisturbed = tmp_path / "held", tmp_path / "undisturbed"
    for folder in (held_back, undisturbed):
        folder.mkdir()
    low, high = job(tmp_path, 0.15), job(tmp_path, 10)
    with pytest.raises(StorageFullError):
        run(low, held_back)
    with pytest.raises(StorageFullError):  # nothing was changed
        run(low, held_back)
    resumed, whole = run(high, held_back), run(high, undisturbed)
    assert resumed.phase == whole.phase == "report"
    assert resumed.full is None
    assert resumed.spec is not None
    assert resumed.spec["storage"]["limit_gb"] == 10, "who reads the journal elsewhere knows"
    assert set(resumed.trials) == set(whole.trials)
    assert [len(trial.curve) for trial in resumed.trials.values()] == [9] * len(whole.trials)


def test_a_job_file_with_another_limit_is_the_same_job(tmp_path: Path) -> None:
    store_job(tmp_path, job(tmp_path, 0.15), "job.yaml")
    check_same_job(tmp_path, job(tmp_path, 10))
