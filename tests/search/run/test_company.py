"""Which trials of a search train together on CPUs, and what stays as it is one by one."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState, TrialState
from search.run.company import AHEAD
from search.run.driver import Driver
from trainables.training.batching import MAX_MEMBERS
from trainables.worker.capacity import shape_of
from trainables.worker.messages import TrialAssignment

SPACE = {"depth": {"low": 1, "high": 2}, "hidden_size": {"choices": [16, 32]}}
SEARCH = {"trials": 16, "sampler": "random", "pruner": "none", "control_fraction": 0.25}


@dataclass
class Cohorts(Workers):
    """Workers that take trials as the bridge gives them: a group, and more as some of it end."""

    groups: list[list[TrialAssignment]] = field(default_factory=list)
    seen: list[list[str]] = field(default_factory=list)  #: keys in one worker's hands
    pending: list[int] = field(default_factory=list)  #: no controls, in hand or waiting
    waiting_controls: list[int] = field(default_factory=list)

    def run(self, most_reports: int = 100_000) -> None:
        for _ in range(most_reports):
            while len(self.groups) < self.slots and self._begin():
                pass
            self.pending.append(
                sum(
                    trial.active and trial.phase == "search" and not trial.control
                    for trial in self.driver.job_state.trials.values()
                )
            )
            in_hand = {work.key for group in self.groups for work in group}
            self.waiting_controls.append(
                sum(
                    trial.active and trial.control and trial.key not in in_hand
                    for trial in self.driver.job_state.trials.values()
                )
            )
            if not self.groups:
                assert self.driver.finished
                return
            group = self.groups.pop(0)
            left = [work for work in group if self.driver.report(self.slice(work))]
            if left and len(left) < len(group):
                left += self._company(left)
            if left:
                self._take(left)

    def _begin(self) -> bool:
        first = self.driver.next(workers=self.slots)
        if first is not None:
            self._take([first, *self._company([first])])
        return first is not None

    def _company(self, group: list[TrialAssignment]) -> list[TrialAssignment]:
        return self.driver.company([work.key for work in group], self.slots)

    def _take(self, group: list[TrialAssignment]) -> None:
        for work in group:
            self.epoch[work.key] = self.driver.job_state.trials[work.key].epoch
        self.groups.append(group)
        self.seen.append([work.key for work in group])


def cohorts(job: JobSpec, folder: Path, **options: Any) -> Cohorts:
    """Run a job to its end, or through `most_reports`."""
    most = options.pop("most_reports", 100_000)
    with FileJournal(folder / "job.journal") as journal:
        workers = Cohorts(Driver(job, INFO, journal), **{"slots": 2, **options})
        workers.run(most)
    return workers


def searched(job_state: JobState) -> dict[str, tuple[Any, ...]]:
    return {e.key: facts(e) for e in job_state.trials.values() if e.phase == "search"}


def facts(entry: TrialState) -> tuple[Any, ...]:
    config = tuple(sorted(entry.config.model_dump(mode="json").items(), key=str))
    return entry.control, entry.seed, config, entry.state, entry.value, entry.epoch


def most_together(workers: Cohorts) -> int:
    """Return how many trials of the search one worker had in hand, at most."""
    return max(len(keys) for keys in workers.seen if keys[0].startswith("search"))


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_trials_in_company_are_those_of_one_after_the_other(slots: int, tmp_path: Path) -> None:
    """A sampler that learns nothing draws the same trials, in whatever order they end."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    alone = drive(job(first, search=SEARCH, space=SPACE), first)
    workers = cohorts(job(second, search=SEARCH, space=SPACE), second, slots=slots)
    assert most_together(workers) > 2
    assert searched(told(second)) == searched(alone)


def test_a_worker_has_trials_of_one_shape(tmp_path: Path) -> None:
    workers = cohorts(job(tmp_path, search={"trials": 16}, space=SPACE), tmp_path)
    trials = told(tmp_path).trials
    for keys in workers.seen:
        assert len({shape_of(trials[key].config) for key in keys}) == 1
        assert len(keys) <= MAX_MEMBERS


def test_control_trials_are_drawn_as_ever_whatever_the_sampler(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    search = {"trials": 16, "control_fraction": 0.25}
    alone = drive(job(first, search=search, space=SPACE), first)
    cohorts(job(second, search=search, space=SPACE), second)
    found = searched(told(second))
    for key, expected in searched(alone).items():
        assert found[key][0] == expected[0]
        if expected[0]:
            assert found[key] == expected


def test_no_more_trials_are_pending_than_a_third_of_the_search(tmp_path: Path) -> None:
    workers = cohorts(job(tmp_path, search={"trials": 16}, space=SPACE), tmp_path)
    assert 2 < max(workers.pending) <= AHEAD * 3 * 16 + 1


@pytest.mark.parametrize(
    ("budget", "several"),
    [({}, True), ({"trials": None, "epochs": 300}, False), ({"wall_clock": 3600}, False)],
)
def test_controls_wait_for_company_unless_time_may_run_out(
    budget: dict[str, Any], several: bool, tmp_path: Path
) -> None:
    wanted = job(tmp_path, search={"trials": 16, "pruner": "none", **budget}, space=SPACE)
    workers = cohorts(wanted, tmp_path)
    assert most_together(workers) > 1
    assert (max(workers.waiting_controls) > 1) is several


@pytest.mark.parametrize("budget", [{"trials": 16}, {"trials": None, "epochs": 80}])
def test_arms_spend_alike(budget: dict[str, Any], tmp_path: Path) -> None:
    wanted = job(tmp_path, search={"pruner": "none", **budget}, space=SPACE)
    cohorts(wanted, tmp_path)
    spent: Counter[str] = Counter()
    for trial in told(tmp_path).trials.values():
        if trial.phase == "search":
            spent[trial.arm] += 1 if budget["trials"] else trial.epoch
    longest = 0 if budget["trials"] else MAX_MEMBERS * 9  # of what one answer may be too late for
    assert max(spent.values()) - min(spent.values()) <= longest


#: Changes of a job after which no trial of its search has company, and why.
ALONE: dict[str, dict[str, Any]] = {
    "so many at once, at most": {"resources": {"max_concurrent": 2}},
    "a GPU for every trial": {"resources": {"gpus_per_trial": 1}},
    "a batch fills the caches": {"space": {"hidden_size": 512, "depth": 2}},
    "hardly two of one shape": {"space": {"hidden_size": {"low": 16, "high": 64}}},
    "what each costs is an objective": {
        "search": {"trials": 16, "objectives": ["value", "seconds"], "pruner": "none"}
    },
    "chosen anew after every report": {"search": {"sampler": "freeze-thaw", "trials": 16}},
}


@pytest.mark.parametrize("why", ALONE)
def test_trials_that_gain_nothing_train_alone(why: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"search": {"trials": 16}, "space": SPACE, **ALONE[why]}
    workers = cohorts(job(tmp_path, **changes), tmp_path)
    assert most_together(workers) == 1
    assert max(workers.pending) <= 2


@pytest.mark.parametrize("mode", ["stopping", "promotion"])
def test_a_killed_driver_loses_and_doubles_no_trial_that_waits(mode: str, tmp_path: Path) -> None:
    search = {"trials": 8, "pruner": {"kind": "successive-halving", "mode": mode}}
    wanted = job(tmp_path, search=search, space={"depth": 1, "hidden_size": 16})
    for _ in range(12):
        cohorts(wanted, tmp_path, most_reports=2)
    cohorts(wanted, tmp_path)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for trial in told(tmp_path).trials.values():
        assert trial.state in ("complete", "pruned")
        if trial.phase == "search":
            numbers[trial.arm].append(trial.number)
    assert dict(numbers) == {arm: list(range(8)) for arm in ("rnn", "lstm", "gru")}


def test_trials_that_were_lost_with_their_worker_go_on_alone(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, search=SEARCH, space=SPACE), INFO, journal)
        first = driver.next(workers=1)
        assert first is not None
        group = [first, *driver.company([first.key], 1)]
        assert len(group) > 1
        for work in group:
            driver.worker_lost(work.key, "the worker was killed", company=True)
        lost = {work.key for work in group}
        while lost:
            again = driver.next(workers=1)
            assert again is not None
            if again.key in lost:
                lost.remove(again.key)
                assert driver.company([again.key], 1) == []
