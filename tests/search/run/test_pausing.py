"""Claims about trials that are paused at a rung and go on later; workers are a formula."""

from collections import Counter
from pathlib import Path
from queue import Empty
from typing import Any

import driven
import pytest
from driven import INFO, Workers, drive, told

from search.job.spec import JobSpec
from search.journal.base import Group
from search.journal.file import FileJournal, FileReader
from search.journal.replay import JobState, TrialState
from search.run import driver as drivers
from search.run.confirmation import Confirmation
from search.run.driver import Driver
from search.run.retention import Retention
from search.study.seeds import derive_seed

PROMOTION = {"kind": "successive-halving", "mode": "promotion", "min_epochs": 1, "reduction": 3}
TRIALS = {"trials": 12, "pruner": PROMOTION}
EPOCHS = {"trials": None, "epochs": 60, "pruner": PROMOTION, "control_fraction": 0}
SEARCHES = {
    "trials": TRIALS,
    "epochs": EPOCHS,
    "auto": TRIALS | {"pruner": PROMOTION | {"min_epochs": "auto"}},
}


def job(folder: Path, search: dict[str, Any], finalists: int = 2) -> JobSpec:
    return driven.job(
        folder, arms=["rnn", "lstm"], search=search, confirm={"finalists": finalists, "seeds": 1}
    )


def ended(state: JobState, arm: str = "rnn") -> list[TrialState]:
    return state.arm(arm, "search")


def records(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    groups: list[Group] = FileReader(folder / "job.journal").read()
    return [each for group in groups for each in group if each.get("record") in kinds]


@pytest.fixture(params=SEARCHES)
def search(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SEARCHES[str(request.param)]


@pytest.mark.parametrize("slots", [1, 3])
def test_every_trial_ends_and_there_are_complete_ones_to_confirm(
    tmp_path: Path, search: dict[str, Any], slots: int
) -> None:
    state = drive(job(tmp_path, search), tmp_path, slots=slots)
    for arm in ("rnn", "lstm"):
        trials = ended(state, arm)
        assert {trial.state for trial in trials} == {"complete", "pruned"}
        assert not any(trial.paused for trial in trials)
        assert all((trial.epoch == 9) == (trial.state == "complete") for trial in trials)
        assert len({trial.finalist for trial in state.arm(arm, "confirm")}) == 2
    assert state.phase == "report"


def test_a_trial_goes_on_once_it_is_among_the_best_of_its_rung(tmp_path: Path) -> None:
    drive(job(tmp_path, TRIALS | {"control_fraction": 0}), tmp_path)
    at_rung: list[tuple[float, str]] = []
    waiting, promoted_late = set(), 0
    for record in records(tmp_path, "report", "pause", "thaw"):
        key = record["key"]
        if not key.startswith("search/rnn"):
            continue
        if record["record"] == "report":
            at_rung += [(-e["value"], key) for e in record["epochs"] if e["epoch"] == 1]
        elif record["record"] == "pause":
            waiting.add(key)
        elif not record["finish"]:
            if key in dict(at_rung[-1:]).values():
                continue
            waiting.remove(key)
            promoted_late += 1
            best = [k for _, k in sorted(at_rung)[: len(at_rung) // 3]]
            assert key in best or key in {k for _, k in at_rung}  # of this rung or a higher one
    assert promoted_late > 0


def test_a_paused_trial_holds_no_slot_and_costs_nothing(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, TRIALS), INFO, journal)
        workers, most = Workers(driver, slots=2), 0
        while driver.job_state.phase == "search":
            workers.run(most_reports=1)
            trials = driver.job_state.trials.values()
            paused = {trial.key for trial in trials if trial.paused}
            most = max(most, len(paused))
            assert paused.isdisjoint(work.key for work in workers.live)
            for arm in ("rnn", "lstm"):
                counted = driver.budgets.states(arm)
                assert counted["paused"] == sum(f"/{arm}/" in key for key in paused)
    assert most > 4


def test_trials_that_wait_to_the_end_are_pruned_with_a_reason(tmp_path: Path) -> None:
    state = drive(job(tmp_path, EPOCHS), tmp_path)
    left = [trial for trial in ended(state) if trial.reason is not None]
    assert {trial.reason for trial in left} <= {
        "it was paused when the search ended",
        "the arm's budget was spent",
    }
    assert len(left) > 3
    assert {trial.state for trial in left} == {"pruned"}


def test_arms_spend_equal_epochs(tmp_path: Path) -> None:
    state = drive(job(tmp_path, EPOCHS), tmp_path, slots=2)
    spent = {arm: sum(trial.epoch for trial in ended(state, arm)) for arm in ("rnn", "lstm")}
    assert all(60 <= epochs < 60 + 9 for epochs in spent.values()), spent


def test_the_last_of_a_budget_completes_the_best(tmp_path: Path) -> None:
    """Though rungs alone would have completed none: too few trials begin."""
    search = EPOCHS | {"epochs": 20, "pruner": PROMOTION | {"reduction": 4}}
    state = drive(job(tmp_path, search, finalists=1), tmp_path)
    (finish,) = [r for r in records(tmp_path, "thaw") if r["finish"] and "rnn" in r["key"]]
    assert state.trials[finish["key"]].state == "complete"


def test_a_report_of_a_paused_trial_changes_nothing(tmp_path: Path) -> None:
    """It comes from a worker that was slow to let go."""
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, TRIALS), INFO, journal)
        workers = Workers(driver)
        while not (paused := [t for t in driver.job_state.trials.values() if t.paused]):
            workers.run(most_reports=1)
        (trial,) = paused
        before, size = vars(trial).copy(), journal.path.stat().st_size
        late = next(report for report in workers.told if report.key == trial.key)
        assert driver.report(late) is False
        driver.worker_lost(trial.key, "the node went away")
        assert vars(trial) == before
        assert journal.path.stat().st_size == size


def test_a_kill_at_any_moment_changes_no_result(tmp_path: Path, search: dict[str, Any]) -> None:
    wanted = job(tmp_path, search)
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    undisturbed = comparable(drive(wanted, whole))
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for kept in range(3, len(lines), 7):
        (again / "job.journal").write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
        assert comparable(drive(wanted, again)) == undisturbed


def comparable(state: JobState) -> dict[str, dict[str, Any]]:
    return {
        key: vars(trial) | {"checkpoints": len(trial.checkpoints)}
        for key, trial in state.trials.items()
    }


def test_a_paused_trial_keeps_its_last_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "FLUSH_SECONDS", 0.0)
    wanted = job(tmp_path, TRIALS)
    gone: set[str] = set()
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(wanted, INFO, journal)
        workers, looked, thinned = Workers(driver), 0, 0
        while not driver.finished:
            workers.run(most_reports=1)
            while True:
                try:
                    gone.add(str(driver.unneeded.get_nowait()))
                except Empty:
                    break
            state = told(tmp_path)
            kept = Retention(wanted, state, Confirmation(wanted, state), 1).kept()
            for trial in state.trials.values():
                if trial.paused:
                    looked += 1
                    *older, last = trial.checkpoints
                    assert last in kept and last not in gone
                    assert kept.isdisjoint(older) and set(older) <= gone
                    thinned += bool(older)
    assert looked > 20 and thinned > 5


def test_the_first_rung_follows_from_the_jobs_own_curves(tmp_path: Path) -> None:
    """The first epoch, where it ranks trials as later ones do; else a later one."""

    def early(work: Any, epoch: int) -> float:
        return driven.curve_value(work, 9) * epoch / 9

    def late(work: Any, epoch: int) -> float:
        noise = derive_seed(0, work.key, epoch) / 2**32
        return noise if epoch < 3 else early(work, epoch)

    pruner = PROMOTION | {"min_epochs": "auto", "reduction": 2}
    firsts = []
    for name, value in (("early", early), ("late", late)):
        folder = tmp_path / name
        folder.mkdir()
        wanted = job(folder, TRIALS | {"trials": 40, "pruner": pruner, "control_fraction": 0})
        drive(wanted, folder, value=value)
        paused_at = Counter[int]()
        epochs: dict[str, int] = {}
        for record in records(folder, "report", "pause"):
            if record["record"] == "report":
                epochs[record["key"]] = record["epochs"][-1]["epoch"]
            elif int(record["key"].split("/")[2]) >= 20:
                paused_at[epochs[record["key"]]] += 1
        firsts.append(min(paused_at))
    assert firsts[0] == 1
    assert firsts[1] >= 3
