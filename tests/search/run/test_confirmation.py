"""Claims about finalists: how ties of their values are broken, and that they stay what they are."""

from pathlib import Path

import pytest
from driven import INFO, Workers, curve_value, drive, job, told

from search.journal.base import encode
from search.journal.file import FileJournal, FileReader
from search.journal.replay import JobState
from search.run.driver import Driver
from trainables.worker.messages import TrialAssignment

#: Every trial is trained to its end, and each arm has two finalists.
UNPRUNED = {"search": {"trials": 8, "pruner": "none"}, "confirm": {"finalists": 2, "seeds": 2}}
ARMS = ("rnn", "lstm", "gru")


def same_value(work: TrialAssignment, epoch: int) -> float:
    return 0.9


def loss(work: TrialAssignment, epoch: int) -> float:
    return 1 - curve_value(work, epoch)


def finalists(job_state: JobState, arm: str) -> set[int | None]:
    return {replicate.finalist for replicate in job_state.arm(arm, "confirm")}


def least_losses(job_state: JobState, arm: str) -> set[int | None]:
    trials = [trial for trial in job_state.arm(arm, "search") if trial.state == "complete"]
    return {trial.number for trial in sorted(trials, key=lambda trial: trial.loss)[:2]}


@pytest.mark.parametrize("most_reports", [5, 20, 26])
def test_among_equal_values_those_of_least_validation_loss_are_finalists(
    most_reports: int, tmp_path: Path
) -> None:
    """Also where the job is stopped and resumed, in its search and among its replicates."""
    wanted = job(tmp_path, **UNPRUNED)
    drive(wanted, tmp_path, value=same_value, loss=loss, most_reports=most_reports)
    job_state = drive(wanted, tmp_path, value=same_value, loss=loss)
    for arm in ARMS:
        assert finalists(job_state, arm) == least_losses(job_state, arm)


@pytest.mark.parametrize("most_reports", [26, 100_000], ids=["interrupted", "finished"])
def test_a_tie_that_an_earlier_version_broke_changes_no_finalist_that_has_begun(
    most_reports: int, tmp_path: Path
) -> None:
    """It looked at no loss. Other losses stand here for its ties by size and by number."""
    wanted, file = job(tmp_path, **UNPRUNED), tmp_path / "job.journal"
    begun = drive(wanted, tmp_path, value=same_value, loss=loss, most_reports=most_reports)
    groups = FileReader(file).read()
    for record in (record for group in groups for record in group):
        if record.get("record") == "report":
            for epoch in record["epochs"]:
                epoch["metrics"]["loss"] = 1 - epoch["metrics"]["loss"]
    file.write_bytes(b"".join(map(encode, groups)))
    with FileJournal(file) as journal:
        driver = Driver(wanted, INFO, journal)
        if driver.finished:
            driver.extend(trials=0, seeds=1)
        Workers(driver, value=same_value, loss=loss).run()
    job_state = told(tmp_path)
    other = [arm for arm in ARMS if least_losses(begun, arm) != least_losses(job_state, arm)]
    assert other
    for arm in ARMS:
        assert finalists(begun, arm) <= finalists(job_state, arm)
        assert len(finalists(job_state, arm)) == 2
