"""An arm's study: which trial stops, which is exempt, and in which state Optuna knows its end."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from driven import INFO, Workers, job
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from search.journal.file import FileJournal
from search.journal.replay import JobState
from search.journal.trial import State
from search.run.driver import Driver
from search.study.arm_study import ArmStudy
from search.study.decisions import Decision
from search.study.samplers import choose
from trainables.worker.messages import TrialAssignment

LAST = 9
HALVING = {"kind": "successive-halving", "min_epochs": 1, "reduction": 3}


class Opened:
    """The study of the only arm of a job, and Optuna's view of its trials."""

    def __init__(self, folder: Path, **search: Any) -> None:
        search = {"pruner": HALVING} | search
        wanted = job(folder, arms=["lstm"], training={"max_epochs": LAST}, search=search)
        job_state = JobState()
        job_state.info = INFO
        self._storage = InMemoryStorage()
        self.study = ArmStudy(wanted, wanted.arms[0], job_state, self._storage)

    def start(self, *, control: bool = False) -> int:
        number = len(self.trials)
        self.study.start_trial(number, self.study.prepare_suggestion(number, control=control)())
        return number

    @property
    def trials(self) -> list[FrozenTrial]:
        return optuna.load_study(study_name=None, storage=self._storage).get_trials()


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    return Opened(tmp_path)


def test_a_bad_trial_stops_at_a_rung(opened: Opened) -> None:
    best, bad = opened.start(), opened.start()
    assert opened.study.report_value(best, 1, 0.9) is Decision.CONTINUE
    assert opened.study.report_value(bad, 1, 0.1) is Decision.STOP


def test_a_control_trial_never_stops_and_reports_at_no_rung(opened: Opened) -> None:
    best, control = opened.start(), opened.start(control=True)
    for epoch in range(1, LAST):
        opened.study.report_value(best, epoch, 0.9)
        assert opened.study.report_value(control, epoch, 0.1) is Decision.CONTINUE
    assert opened.study.report_epochs(best) == [1, 3]
    assert opened.study.report_epochs(control) == []


@pytest.mark.parametrize("kind", ["successive-halving", "hyperband", "median"])
def test_no_trial_is_compared_with_control_trials(kind: str, tmp_path: Path) -> None:
    opened = Opened(tmp_path, pruner=kind)
    for number in range(6):
        assert opened.start(control=True) == number
        for epoch in range(1, LAST + 1):
            opened.study.report_value(number, epoch, 0.9)
        opened.study.end_trial(number, "complete", 0.9)
    bad = opened.start()
    for epoch in range(1, LAST):
        assert opened.study.report_value(bad, epoch, 0.1) is Decision.CONTINUE


def test_a_trial_is_not_stopped_at_its_last_epoch(tmp_path: Path) -> None:
    """It is complete then, though the pruner would stop it there."""
    opened = Opened(tmp_path, pruner={"kind": "patient", "patience": 2})
    number = opened.start()
    stops = [opened.study.report_value(number, epoch, -epoch) for epoch in range(1, LAST + 1)]
    goes_on, stops_there = Decision.CONTINUE, Decision.STOP
    assert stops == [goes_on] * 3 + [stops_there] * (LAST - 4) + [goes_on]


ENDS: list[tuple[State, TrialState, float | None]] = [
    ("complete", TrialState.COMPLETE, 0.75),
    ("pruned", TrialState.PRUNED, None),
    ("diverged", TrialState.PRUNED, None),
    ("failed", TrialState.FAIL, None),
]


@pytest.mark.parametrize(("state", "expected", "value"), ENDS)
def test_optuna_knows_an_ended_trial_in_the_state_of_the_table(
    opened: Opened, state: State, expected: TrialState, value: float | None
) -> None:
    number = opened.start()
    opened.study.report_value(number, 1, 0.5)
    opened.study.end_trial(number, state, 0.75)
    (trial,) = opened.trials
    assert trial.state == expected
    assert trial.value == value
    assert trial.intermediate_values == {1: 0.5}


def reopened(folder: Path, sampler: str) -> list[list[FrozenTrial]]:
    """Return what the study of a job shows its sampler as the job goes on and when it is resumed.

    Trial 1 diverges in its second epoch, trial 4 before its first one ends.
    """
    wanted = job(folder, arms=["lstm"], search={"trials": 6, "sampler": sampler})

    def diverges(work: TrialAssignment, epoch: int) -> bool:
        return (work.key, epoch) in {("search/lstm/1", 2), ("search/lstm/4", 1)}

    with FileJournal(folder / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        Workers(driver, diverges=diverges).run()
        shown = [driver._studies["lstm"]._shown(choose(wanted, "lstm", 0).visibility)]
    with FileJournal(folder / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        shown.append(driver._studies["lstm"]._shown(choose(wanted, "lstm", 0).visibility))
    return shown


def test_a_sampler_is_shown_a_diverged_trial_without_its_epochs(tmp_path: Path) -> None:
    for shown in reopened(tmp_path, "tpe"):
        assert [trial.number for trial in shown if not trial.intermediate_values] == [1, 4]
        assert {shown[number].state for number in (1, 4)} == {TrialState.PRUNED}
        assert all(trial.params for trial in shown)


def test_gp_is_shown_a_diverged_trial_as_the_worst(tmp_path: Path) -> None:
    for shown in reopened(tmp_path, "gp"):
        values = [trial.value for trial in shown if trial.value is not None]
        assert len(values) == 6
        assert shown[1].value == shown[4].value == min(values)


def test_an_ended_trial_stays_as_it_is(opened: Opened) -> None:
    number = opened.start()
    opened.study.end_trial(number, "complete", 0.75)
    opened.study.end_trial(number, "failed", 0.25)
    (trial,) = opened.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.75)
