"""Replicates of every design, driven without Ray: which trials there are, on which splits."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.journal.file import FileJournal
from search.journal.replay import JobState, TrialState
from search.results.evidence.pairs import Results
from search.results.scores import replicate_results
from search.run.driver import Driver
from spaces.errors import InputError
from trainables.worker.messages import TrialAssignment, TrialReport

SPLITS = {"design": "splits", "replicates": 4, "finalists": 2}


@dataclass
class Watched(Workers):
    """Workers that remember what they were given."""

    given: list[TrialAssignment] = field(default_factory=list)

    def slice(self, work: TrialAssignment) -> TrialReport:
        self.given.append(TrialAssignment.from_dict(work.as_dict()))
        return super().slice(work)


def watched(folder: Path, **confirm: Any) -> list[TrialAssignment]:
    """Run a job to its end; return the replicates that workers were given."""
    asked = job(folder, search={"trials": 4}, confirm=confirm)
    with FileJournal(folder / "job.journal") as journal:
        workers = Watched(Driver(asked, INFO, journal))
        workers.run()
    return [work for work in workers.given if work.key.startswith("confirm/")]


def test_replicates_of_one_number_have_one_split_and_seed_in_every_arm(tmp_path: Path) -> None:
    given = watched(tmp_path, **SPLITS)
    trials = told(tmp_path).trials
    pairs = defaultdict(set)
    for work in given:
        trial = trials[work.key]
        assert trial.split == trial.replicate
        assert work.split is not None
        assert work.split.design == "splits"
        pairs[trial.replicate].add((work.split, work.seed))
    assert sorted(pairs) == [0, 1, 2, 3]
    assert all(len(found) == 1 for found in pairs.values())
    assert len({split for found in pairs.values() for split, _ in found}) == 4
    assert len(given) == 3 * 2 * 4


def test_splits_follow_from_the_jobs_seed(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        asked = job(tmp_path / name, search={"trials": 2, "seed": seed}, confirm=SPLITS)
        with FileJournal(tmp_path / name / "job.journal") as journal:
            workers = Watched(Driver(asked, INFO, journal))
            workers.run()
        found.append({work.split for work in workers.given if work.split is not None})
    assert found[0] == found[1]
    assert not found[0] & found[2]


def test_a_design_by_seeds_keeps_the_records_that_it_had(tmp_path: Path) -> None:
    given = watched(tmp_path, seeds=2)
    assert {work.split for work in given} == {None}
    records = [
        record
        for group in FileJournal(tmp_path / "job.journal").take_history()
        for record in group
        if record.get("record") == "trial"
    ]
    assert records
    assert not any("split" in record for record in records)


def test_replicates_are_added_to_whatever_design_a_job_has(tmp_path: Path) -> None:
    asked = job(tmp_path, confirm=SPLITS)
    drive(asked, tmp_path)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(asked, INFO, journal)
        with pytest.raises(InputError, match="design must be seeds, not splits"):
            driver.extend(seeds=2)
        driver.extend(replicates=2)
        Workers(driver).run()
    confirm = [trial for trial in told(tmp_path).trials.values() if trial.phase == "confirm"]
    assert {trial.replicate for trial in confirm} == {trial.split for trial in confirm}
    assert len(confirm) == 3 * 2 * 6


NESTED = {"design": "nested", "replicates": 3, "configurations": 4}


def groups(job_state: JobState) -> dict[tuple[str, int | None], list[TrialState]]:
    """The candidates of each arm on each split."""
    found: dict[tuple[str, int | None], list[TrialState]] = defaultdict(list)
    for trial in job_state.trials.values():
        if trial.phase == "confirm":
            assert trial.split == trial.replicate
            found[trial.arm, trial.replicate].append(trial)
    return found


def test_every_arm_tries_the_same_configurations_on_every_split(tmp_path: Path) -> None:
    space = {"depth": {"low": 1, "high": 3}, "dropout": {"low": 0.0, "high": 0.5}}
    drive(job(tmp_path, space=space, confirm=NESTED), tmp_path)
    found = groups(told(tmp_path))
    assert len(found) == 3 * 3
    shared = ("depth", "dropout", "learning_rate", "hidden_size", "batch_size")
    for replicate in range(3):
        tried = []
        for arm in ("rnn", "lstm", "gru"):
            own = sorted(found[arm, replicate], key=lambda trial: trial.candidate or 0)
            assert [trial.candidate for trial in own] == [0, 1, 2, 3]
            tried.append([(t.seed, *(getattr(t.config, name) for name in shared)) for t in own])
        assert tried[0] == tried[1] == tried[2]
        assert len(set(tried[0])) == 4
    configs = {str(t.config) for own in found.values() for t in own if t.arm == "gru"}
    assert len(configs) == 12, "other splits try others"


def test_the_best_candidate_by_validation_alone_is_scored_once(tmp_path: Path) -> None:
    asked = job(tmp_path, confirm=NESTED)
    with FileJournal(tmp_path / "job.journal") as journal:
        workers = Watched(Driver(asked, INFO, journal))
        workers.run()
    scored = [work for work in workers.given if work.test]
    assert all(work.checkpoints for work in scored), "their weights are in the store"
    found = groups(told(tmp_path))
    assert sorted(work.key for work in scored) == sorted(
        min(own, key=lambda t: (-(t.value or 0), t.loss, t.parameters, t.number)).key
        for own in found.values()
    )
    for own in found.values():
        assert [t.scored for t in own].count(True) == 1
        assert all((t.test is not None) == t.scored for t in own)


def test_candidates_that_diverge_are_not_chosen_and_an_arm_of_them_has_no_score(
    tmp_path: Path,
) -> None:
    def diverges(work: TrialAssignment, epoch: int) -> bool:
        return work.key.startswith("confirm/rnn") or (
            work.key.startswith("confirm/gru") and int(work.key.rsplit("/")[-1]) % 4 < 3
        )

    drive(job(tmp_path, confirm=NESTED), tmp_path, diverges=diverges)
    job_state = told(tmp_path)
    assert job_state.phase == "report"
    for (arm, _), own in groups(job_state).items():
        tested = [trial.candidate for trial in own if trial.test is not None]
        assert len(tested) == (arm != "rnn")
        assert arm != "gru" or tested == [3]
    results = [trial.result(INFO.metric) for trial in job_state.trials.values()]
    scores = Results(replicate_results(INFO.metric, ("rnn", "lstm", "gru"), results)).scores
    assert scores["rnn"] == {"0": None, "1": None, "2": None}
    assert all(score is not None for score in scores["gru"].values())


@pytest.mark.parametrize("fault", ["failure", "loss"])
def test_a_score_that_is_lost_is_taken_again_and_given_up_in_the_end(
    fault: str, tmp_path: Path
) -> None:
    asked = job(tmp_path, search={"trials": 2, "retries": 2}, confirm=NESTED)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(asked, INFO, journal)
        workers, tries = Watched(driver), Counter[str]()
        while (work := driver.next()) is not None:
            workers.epoch[work.key] = driver.job_state.trials[work.key].epoch
            if work.test and work.key.startswith("confirm/lstm"):
                tries[work.key] += 1
                if fault == "failure":
                    report = TrialReport(work.key, work.generation, [], failure="out of luck")
                    assert not driver.report(report)
                else:
                    driver.worker_lost(work.key, "out of luck")
                continue
            while driver.report(workers.slice(work)):
                pass
        assert driver.finished
    assert list(tries.values()) == [3, 3, 3]
    for (arm, _), own in groups(told(tmp_path)).items():
        tested = [trial for trial in own if trial.test is not None]
        assert len(tested) == (arm != "lstm")
        assert [trial.reason for trial in own if trial.scored and not tested] in (
            [],
            ["out of luck"],
        )


@pytest.mark.parametrize("most", [9, 40, 77, 100, 118])
@pytest.mark.parametrize("design", [SPLITS, NESTED], ids=["splits", "nested"])
def test_a_job_killed_at_any_moment_has_the_trials_and_scores_of_one_that_was_not(
    design: dict[str, Any], most: int, tmp_path: Path
) -> None:
    asked = job(tmp_path, search={"trials": 2}, confirm=design)
    (tmp_path / "whole").mkdir()
    whole = drive(asked, tmp_path / "whole")
    for _ in range(2):
        drive(asked, tmp_path, most_reports=most // 2, slots=3)
    broken = drive(asked, tmp_path, slots=2)
    assert facts(broken) == facts(whole)


def facts(job_state: JobState) -> dict[str, tuple[Any, ...]]:
    return {
        t.key: (t.config, t.seed, t.replicate, t.split, t.candidate, t.state, t.value, t.test)
        for t in job_state.trials.values()
    }


def test_a_candidate_that_the_design_does_not_have_trains_alone(tmp_path: Path) -> None:
    asked = job(tmp_path, search={"trials": 4}, confirm=NESTED)
    trials = drive(asked, tmp_path).trials
    candidate = next(trial for trial in trials.values() if trial.candidate is not None)
    with FileJournal(tmp_path / "job.journal") as journal:
        confirmation = Driver(asked, INFO, journal).confirmation
    assert list(confirmation.block(candidate, 1))
    assert not list(confirmation.block(replace(candidate, candidate=99), 1))


def test_checkpoints_of_candidates_are_kept_until_one_of_them_is_scored(tmp_path: Path) -> None:
    asked = job(tmp_path, arms=["gru"], search={"trials": 1}, confirm=NESTED)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(asked, INFO, journal)
        workers = Workers(driver)
        for _ in range(1000):
            workers.run(most_reports=1)
            state = driver.job_state
            kept = driver.retention.kept()
            for own in groups(state).values():
                ended = [t for t in own if t.state == "complete"]
                settled = any(t.scored for t in own)
                assert all((t.checkpoints[-1] in kept) != settled for t in ended)
            if driver.finished:
                break
    gone = set()
    while not driver.unneeded.empty():
        gone.add(driver.unneeded.get())
    confirm = [t for t in driver.job_state.trials.values() if t.phase == "confirm"]
    assert {name for t in confirm for name in t.checkpoints} <= gone


AUTO = {"design": "splits", "replicates": "auto", "max_replicates": 30}


def favouring(*arms: str) -> Callable[[TrialAssignment, int], float]:
    """A curve on which some arms are better than the others, and equal among themselves."""

    def value(work: TrialAssignment, epoch: int) -> float:
        return 0.9 if any(f"/{arm}/" in work.key for arm in arms) else 0.5

    return value


@dataclass
class Scored(Watched):
    """Workers whose test values are their validation values."""

    def slice(self, work: TrialAssignment) -> TrialReport:
        report = super().slice(work)
        value = self.value(work, 9)
        return report if report.test is None else replace(report, test={"accuracy": value})


def auto(
    folder: Path, value: Callable[[TrialAssignment, int], float], slots: int = 1, **confirm: Any
) -> JobState:
    asked = job(folder, arms=["lstm", "gru"], search={"trials": 2}, confirm=AUTO | confirm)
    with FileJournal(folder / "job.journal") as journal:
        Scored(Driver(asked, INFO, journal), value=value, slots=slots).run()
    return told(folder)


def replicates(job_state: JobState) -> int:
    return 1 + max(t.replicate for t in job_state.trials.values() if t.replicate is not None)


@pytest.mark.parametrize("design", ["seeds", "splits", "nested"])
@pytest.mark.parametrize("slots", [1, 4])
def test_replicates_end_soon_after_the_arms_are_told_apart(
    design: str, slots: int, tmp_path: Path
) -> None:
    job_state = auto(tmp_path, favouring("gru"), slots, design=design, configurations=2)
    assert job_state.phase == "report"
    assert 6 <= replicates(job_state) <= 20


def test_replicates_go_on_to_the_limit_where_the_arms_are_not_told_apart(tmp_path: Path) -> None:
    def value(work: TrialAssignment, epoch: int) -> float:
        assert work.split is not None or work.key.startswith("search")
        number = int(work.key.rsplit("/")[-1])
        return 0.9 if ("/gru/" in work.key) == (number % 5 < 3) else 0.5

    assert replicates(auto(tmp_path, value)) == 30


def test_more_replicates_are_made_even_of_arms_that_were_told_apart(tmp_path: Path) -> None:
    before = replicates(auto(tmp_path, favouring("gru")))
    asked = job(tmp_path, arms=["lstm", "gru"], search={"trials": 2}, confirm=AUTO)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(asked, INFO, journal)
        driver.extend(replicates=7)
        Scored(driver, value=favouring("gru")).run()
    assert replicates(told(tmp_path)) == before + 7


def test_only_an_arms_leader_goes_on_once_it_is_settled(tmp_path: Path) -> None:
    job_state = auto(tmp_path, favouring("gru", "lstm"), finalists=2)
    found = defaultdict(set)
    for trial in job_state.trials.values():
        if trial.replicate is not None:
            found[trial.arm, trial.replicate].add(trial.finalist)
    assert {len(own) for (_, number), own in found.items() if number < 10} == {2}
    late = [own for (_, number), own in found.items() if number >= 10]
    assert all(len(own) == 1 for own in late)


def test_a_job_until_decided_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = auto(tmp_path / "whole", favouring("gru"))
    asked = job(tmp_path, arms=["lstm", "gru"], search={"trials": 2}, confirm=AUTO)
    for _ in range(4):
        with FileJournal(tmp_path / "job.journal") as journal:
            Scored(Driver(asked, INFO, journal), value=favouring("gru")).run(7)
    broken = auto(tmp_path, favouring("gru"))
    assert facts(broken) == facts(whole)
