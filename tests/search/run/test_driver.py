"""Claims about the decisions of a running job, and about what a kill at any moment does to them."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, LATER, Workers, drive, job, told
from optuna.trial import TrialState as OptunaState
from stored_studies import stored_studies

from search.job.spec import JobSpec
from search.journal.base import JournalError, encode
from search.journal.file import FileJournal, FileReader
from search.journal.replay import JobState, TrialState
from search.results.read import read_results
from search.run.driver import Driver
from spaces.errors import InputError
from trainables.data.baselines import Baseline
from trainables.worker.messages import TrialReport

MANY = {"trials": 34, "control_fraction": 0.25}


def search(job_state: JobState) -> list[TrialState]:
    return [entry for entry in job_state.trials.values() if entry.phase == "search"]


def confirm(job_state: JobState) -> list[TrialState]:
    return [entry for entry in job_state.trials.values() if entry.phase == "confirm"]


def test_every_arm_gets_its_trials_and_every_finalist_its_seeds(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path), tmp_path, slots=2)
    assert Counter(e.arm for e in search(job_state)) == {"rnn": 8, "lstm": 8, "gru": 8}
    assert Counter(e.arm for e in confirm(job_state)) == {"rnn": 2, "lstm": 2, "gru": 2}
    assert all(entry.state != "running" for entry in job_state.trials.values())
    assert job_state.phase == "report"


def test_a_pruned_trial_is_never_complete(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, search=MANY), tmp_path, slots=3)
    states = Counter(entry.state for entry in search(job_state))
    assert states.total() == 102
    assert states["pruned"] > 20
    assert all(e.epoch == 9 for e in search(job_state) if e.state == "complete")
    assert all(e.epoch < 9 for e in search(job_state) if e.state == "pruned")
    for trials in stored_studies(tmp_path).values():
        assert {t.last_step for t in trials if t.state == OptunaState.COMPLETE} == {9}
        assert not [t for t in trials if t.state == OptunaState.RUNNING]


def test_control_trials_are_a_fixed_share_and_never_pruned(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, search=MANY), tmp_path)
    for arm in ("rnn", "lstm", "gru"):
        control = [e for e in job_state.arm(arm, "search") if e.control]
        assert len(control) == 8  # a quarter of 34
        assert {e.state for e in control} == {"complete"}


def test_optuna_is_told_the_best_epoch_of_complete_trials(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path), tmp_path)
    for name, trials in stored_studies(tmp_path).items():
        for entry, trial in zip(job_state.arm(name.split("/")[1], "search"), trials, strict=True):
            assert trial.number == entry.number
            assert trial.intermediate_values == {p.epoch: p.value for p in entry.curve}
            if entry.state == "complete":
                assert trial.value == max(p.value for p in entry.curve)


def test_a_trial_that_diverges_ends_within_that_report(tmp_path: Path) -> None:
    job_state = drive(
        job(tmp_path), tmp_path, diverges=lambda work, epoch: "lstm/3" in work.key and epoch == 2
    )
    entry = job_state.trials["search/lstm/3"]
    assert (entry.state, entry.epoch) == ("diverged", 1)
    assert entry.reason == "loss or gradient was not finite in epoch 2"
    trials = stored_studies(tmp_path)["driven/lstm"]
    assert trials[3].state == OptunaState.PRUNED
    assert not [t for t in trials if t.state == OptunaState.RUNNING]


def test_what_is_told_twice_changes_nothing(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        workers = Workers(driver, slots=2)
        for _ in range(40):
            workers.run(most_reports=1)
            size, before = journal.path.stat().st_size, asdict_all(driver.job_state)
            report = workers.told[-1]
            goes_on = driver.job_state.trials[report.key].state == "running"
            assert driver.report(report) is goes_on
            assert asdict_all(driver.job_state) == before
            if not goes_on:
                assert journal.path.stat().st_size == size


def asdict_all(job_state: JobState) -> dict[str, dict[str, Any]]:
    return {key: asdict(entry) for key, entry in job_state.trials.items()}


@pytest.mark.parametrize("pruner", ["successive-halving", "hyperband", "median", "none"])
def test_a_kill_at_any_moment_changes_no_result(tmp_path: Path, pruner: str) -> None:
    """With one slot, every prefix of the journal resumes to what an undisturbed run ends with."""
    wanted = job(tmp_path, search={"trials": 5, "pruner": {"kind": pruner}})
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()
    undisturbed = drive(wanted, whole)
    rungs = rung_tables(whole)
    lines = (whole / "job.journal").read_bytes().splitlines(keepends=True)
    for kept in range(0, len(lines), 3):
        torn = lines[kept][: len(lines[kept]) // 2]
        (again / "job.journal").write_bytes(b"".join(lines[:kept]) + torn)
        resumed = drive(wanted, again)
        assert resumed.generation == (1 if kept == 0 else 2)
        assert comparable(resumed) == comparable(undisturbed)
        assert rung_tables(again) == rungs


def comparable(job_state: JobState) -> dict[str, dict[str, Any]]:
    """Return all trials without the names of checkpoints, which carry the driver's generation."""
    return {
        key: entry | {"checkpoints": len(entry["checkpoints"])}
        for key, entry in asdict_all(job_state).items()
    }


def rung_tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [t.system_attrs for t in trials] for name, trials in stored_studies(folder).items()
    }


def test_two_runs_of_one_job_are_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    assert asdict_all(drive(job(tmp_path), first)) == asdict_all(drive(job(tmp_path), second))


def test_another_seed_tries_other_configurations(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    one = drive(job(tmp_path), first)
    two = drive(job(tmp_path, search={"seed": 1}), second)
    assert [e.config for e in search(one)] != [e.config for e in search(two)]


def test_arms_share_no_draws_but_those_of_controls(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path), tmp_path)
    rates = {
        arm: [e.config.learning_rate for e in job_state.arm(arm, "search") if not e.control]
        for arm in ("lstm", "gru")
    }
    assert not set(rates["lstm"]) & set(rates["gru"])


def test_a_failing_trial_is_retried_and_then_failed_with_its_reason(tmp_path: Path) -> None:
    job_state = drive(
        job(tmp_path), tmp_path, slots=2, fails=lambda work: work.key == "search/gru/1"
    )
    entry = job_state.trials["search/gru/1"]
    assert (entry.state, entry.retries) == ("failed", 2)
    assert entry.reason == "RuntimeError: out of luck"
    assert stored_studies(tmp_path)["driven/gru"][1].state == OptunaState.FAIL
    assert Counter(e.arm for e in search(job_state)) == {"rnn": 8, "lstm": 8, "gru": 8}


def test_a_lost_worker_costs_no_trial(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        workers = Workers(driver, slots=2)
        workers.run(most_reports=3)
        lost = workers.live.pop()
        driver.worker_lost(lost.key, "the node went away")
        workers.run()
    entry = told(tmp_path).trials[lost.key]
    assert (entry.retries, entry.reason, entry.state) == (1, None, entry.state)
    assert entry.state in ("complete", "pruned")


def test_late_reports_of_a_former_drivers_workers_are_ignored(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        workers = Workers(Driver(job(tmp_path), INFO, journal))
        workers.run(most_reports=4)
        work = workers.live[0]
        late = workers.slice(work)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        taken_back = driver.next()
        assert taken_back is not None
        assert taken_back.key == work.key
        assert taken_back.generation == work.generation + 1
        before = driver.job_state.trials[work.key].epoch
        assert driver.report(late) is False
        assert driver.job_state.trials[work.key].epoch == before


def test_arms_end_within_a_report_of_equal_worker_seconds(tmp_path: Path) -> None:
    costs = {"rnn": 0.1, "lstm": 0.3, "gru": 0.3}
    job_state = drive(
        job(tmp_path, search={"trials": None, "worker_seconds": 60, "control_fraction": 0.0}),
        tmp_path,
        slots=3,
        seconds=lambda work: costs[work.config.cell],
    )
    spent = {arm: sum(e.seconds for e in job_state.arm(arm, "search")) for arm in costs}
    assert all(60 <= seconds <= 63 for seconds in spent.values()), spent


def test_a_budget_of_epochs_is_spent_equally(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, search={"trials": None, "epochs": 60}), tmp_path, slots=2)
    for arm in ("rnn", "lstm", "gru"):
        assert 60 <= sum(e.epoch for e in job_state.arm(arm, "search")) < 69


@pytest.mark.parametrize("seed", range(6))
def test_a_budget_of_epochs_is_exceeded_by_what_runs_at_most(tmp_path: Path, seed: int) -> None:
    wanted = job(tmp_path, search={"trials": None, "epochs": 60, "seed": seed})
    job_state = drive(wanted, tmp_path, slots=2)
    for arm in ("rnn", "lstm", "gru"):
        assert 60 <= sum(e.epoch for e in job_state.arm(arm, "search")) < 60 + 2 * 9


def test_replicates_share_their_seeds_across_arms_and_no_other_trial(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, confirm={"seeds": 3}), tmp_path)
    seeds = {arm: [e.seed for e in job_state.arm(arm, "confirm")] for arm in ("rnn", "lstm", "gru")}
    assert seeds["rnn"] == seeds["lstm"] == seeds["gru"]
    controls = 2  # of each arm, with the same seeds in every arm
    others = 3 * (8 - controls)
    found = {*seeds["rnn"], *(e.seed for e in search(job_state))}
    assert len(found) == 3 + controls + others


def test_finalists_are_the_best_complete_trials(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, search=MANY, confirm={"finalists": 2, "seeds": 1}), tmp_path)
    for arm in ("rnn", "lstm", "gru"):
        complete = [e for e in job_state.arm(arm, "search") if e.state == "complete"]
        best = sorted(complete, key=lambda e: -(e.value or 0))[:2]
        chosen = job_state.arm(arm, "confirm")
        assert [e.finalist for e in chosen] == [e.number for e in best]
        assert [e.config for e in chosen] == [e.config for e in best]


def test_a_finished_job_can_be_extended(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path)
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        assert driver.finished
        driver.extend(trials=2, seeds=1)
        Workers(driver).run()
    job_state = told(tmp_path)
    assert Counter(e.arm for e in search(job_state)) == {"rnn": 10, "lstm": 10, "gru": 10}
    for arm in ("rnn", "lstm", "gru"):
        final = [e for e in job_state.arm(arm, "confirm") if e.replicate == 2]
        assert len(final) == 1


def test_the_confirm_phase_can_be_skipped(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path, confirm={"seeds": 0}), tmp_path)
    assert not confirm(job_state)
    assert job_state.phase == "report"


def test_an_arm_without_a_complete_trial_has_no_finalist(tmp_path: Path) -> None:
    job_state = drive(job(tmp_path), tmp_path, diverges=lambda work, epoch: "/rnn/" in work.key)
    assert {e.state for e in job_state.arm("rnn", "search")} == {"diverged"}
    assert {e.arm for e in confirm(job_state)} == {"lstm", "gru"}


def test_another_job_under_the_same_name_is_refused(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path, most_reports=2)
    before = (tmp_path / "job.journal").read_bytes()
    with (
        FileJournal(tmp_path / "job.journal") as journal,
        pytest.raises(InputError, match="the job 'driven' must be as it was"),
    ):
        Driver(job(tmp_path, search={"trials": 9}), INFO, journal)
    assert (tmp_path / "job.journal").read_bytes() == before


def test_a_job_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Neither its record nor its trials' have the keys that came later."""
    older, newer = tmp_path / "older", tmp_path / "newer"
    wanted = job(tmp_path, space={"forget_bias": "default"})
    for folder in (older, newer):
        folder.mkdir()
        drive(wanted, folder, most_reports=20)
    groups = FileReader(older / "job.journal").read()
    for record in (record for group in groups for record in group):
        for place in (record.get("config", {}), record.get("spec", {}).get("space", {})):
            for key in LATER:
                place.pop(key, None)
    (older / "job.journal").write_bytes(b"".join(map(encode, groups)))
    assert search(drive(wanted, older)) == search(drive(wanted, newer))


SMALLEST = """name: driven
task: {name: japanese-vowels}
arms: [rnn, lstm, gru]
training: {max_epochs: 9}
search: {trials: 8}
confirm: {seeds: 1}
"""


def starts(job_state: JobState) -> set[str]:
    return {e.config.forget_bias for e in search(job_state) if e.config.cell != "rnn"}


@pytest.mark.parametrize("known", [True, False])
def test_a_job_of_before_the_search_of_starts_goes_on_without_it(
    known: bool, tmp_path: Path
) -> None:
    """The file says nothing of forget_bias; the record has its default, or lacks it."""
    before = JobSpec.loads(SMALLEST + "space: {forget_bias: default}\n", base=tmp_path)
    drive(before, tmp_path, most_reports=20)
    file = tmp_path / "job.journal"
    groups = FileReader(file).read()
    for record in (record for group in groups for record in group):
        if "spec" in record and not known:
            del record["spec"]["space"]["forget_bias"]
    file.write_bytes(b"".join(map(encode, groups)))
    assert starts(drive(JobSpec.loads(SMALLEST, base=tmp_path), tmp_path)) == {"default"}
    changed = SMALLEST + "space: {forget_bias: {choices: [zero, one]}}\n"
    with (
        FileJournal(file) as journal,
        pytest.raises(InputError, match="the job 'driven' must be as it was"),
    ):
        Driver(JobSpec.loads(changed, base=tmp_path), INFO, journal)


def test_a_new_job_searches_the_starts_of_gates(tmp_path: Path) -> None:
    assert starts(drive(JobSpec.loads(SMALLEST, base=tmp_path), tmp_path)) == {"zero", "one"}


def test_changed_data_is_refused(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path, most_reports=2)
    with (
        FileJournal(tmp_path / "job.journal") as journal,
        pytest.raises(InputError, match="the data must be as it was"),
    ):
        Driver(job(tmp_path), replace(INFO, fingerprint="0" * 64), journal)


def test_baselines_are_recorded_once_also_where_an_earlier_version_began(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path, most_reports=2)
    first, later = (Baseline(name, {"accuracy": 0.1}, {"accuracy": 0.2}) for name in ("a", "b"))
    for found in (first, later):
        with FileJournal(tmp_path / "job.journal") as journal:
            driver = Driver(job(tmp_path), INFO, journal, baselines=lambda _, found=found: [found])  # type: ignore[misc]
            assert driver.job_state.baselines == (first,)
    assert told(tmp_path).baselines == read_results(tmp_path).baselines == (first,)


def test_a_decision_is_on_disk_before_it_is_handed_out(tmp_path: Path) -> None:
    reader = FileReader(tmp_path / "job.journal")
    job_state = JobState()
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        workers = Workers(driver, slots=2)
        for _ in range(30):
            workers.run(most_reports=1)
            job_state.apply_all(reader.groups())
            assert {w.key for w in workers.live} == {
                e.key for e in job_state.trials.values() if e.state == "running"
            }


def test_a_report_of_an_unknown_trial_is_no_trial(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        assert driver.report(TrialReport("search/lstm/99", driver.generation, [])) is False
        assert not driver.job_state.trials


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("trial", "must have records of ours and of Optuna's"), ("end", "must have a record of its")],
)
def test_a_journal_that_lacks_what_optunas_records_say_is_refused(
    kind: str, rule: str, tmp_path: Path
) -> None:
    asked = job(tmp_path)
    drive(asked, tmp_path, most_reports=4)
    path = tmp_path / "job.journal"
    groups = list(FileReader(path).groups())
    lost = next(r["key"] for group in groups for r in group if r.get("record") == kind)
    dropped = (kind,) if kind == "end" else (kind, "report", "retry", "end")
    path.unlink()
    with FileJournal(path) as journal:
        for group in groups:
            kept = [r for r in group if r.get("key") != lost or r["record"] not in dropped]
            if kept:
                journal.append(*kept)
                journal.commit()
    with FileJournal(path) as journal, pytest.raises(JournalError, match=rule):
        Driver(asked, INFO, journal)
