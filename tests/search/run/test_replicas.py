"""Replicates of a finalist are handed out together, and are what they would be one by one."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.journal.replay import JobState, TrialState
from search.run.driver import Driver
from trainables.worker.messages import TrialAssignment


@dataclass
class Company(Workers):
    """Workers that take replicates together, as the bridge does."""

    groups: list[list[TrialAssignment]] = field(default_factory=list)  #: in hand
    handed_out: list[list[TrialAssignment]] = field(default_factory=list)
    turns: int = 0  #: reports of whole groups

    def run(self, most_reports: int = 100_000) -> None:
        for _ in range(most_reports):
            while len(self.groups) < self.slots and (first := self.driver.next()) is not None:
                group = [first, *self.driver.company([first.key], self.slots)]
                for work in group:
                    self.epoch[work.key] = self.driver.job_state.trials[work.key].epoch
                self.groups.append(group)
                self.handed_out.append(group)
            if not self.groups:
                assert self.driver.finished
                return
            group = self.groups.pop(0)
            self.turns += 1
            left = [work for work in group if self.driver.report(self.slice(work))]
            if left:
                self.groups.append(left)


def company(job: JobSpec, folder: Path, **options: Any) -> list[list[TrialAssignment]]:
    """Run a job to its end, or through `most_reports`; return what was handed out together."""
    most = options.pop("most_reports", 100_000)
    with FileJournal(folder / "job.journal") as journal:
        workers = Company(Driver(job, INFO, journal), **options)
        workers.run(most)
    return workers.handed_out


def confirmed(job_state: JobState) -> dict[str, tuple[Any, ...]]:
    return {e.key: facts(e) for e in job_state.trials.values() if e.phase == "confirm"}


def facts(entry: TrialState) -> tuple[Any, ...]:
    config = tuple(sorted(entry.config.model_dump(mode="json").items(), key=str))
    return entry.finalist, entry.replicate, entry.seed, config, entry.state, entry.value, entry.test


CONFIRM = {"finalists": 2, "seeds": 5}


@pytest.mark.parametrize(("slots", "sizes"), [(1, {5: 6}), (2, {3: 6, 2: 6}), (5, {1: 30})])
def test_every_slot_has_its_block_of_a_finalists_replicates(
    slots: int, sizes: dict[int, int], tmp_path: Path
) -> None:
    groups = company(job(tmp_path, confirm=CONFIRM), tmp_path, slots=slots)
    entries = told(tmp_path).trials
    confirm = [group for group in groups if entries[group[0].key].phase == "confirm"]
    assert all(len(group) == 1 for group in groups if group not in confirm)
    assert Counter(len(group) for group in confirm) == sizes
    for group in confirm:
        assert len({(entries[w.key].arm, entries[w.key].finalist) for w in group}) == 1


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_replicates_in_company_are_those_of_one_after_the_other(slots: int, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    asked = job(tmp_path, confirm=CONFIRM)
    alone = drive(asked, first, slots=slots)
    groups = company(asked, second, slots=slots)
    assert any(len(group) > 1 for group in groups)
    assert confirmed(told(second)) == confirmed(alone)
    keys = [work.key for group in groups for work in group]
    assert sorted(keys) == sorted(alone.trials)


@pytest.mark.parametrize("before_the_end", [3, 5, 8])
def test_a_driver_killed_among_replicates_ends_with_the_same_ones_in_the_same_order(
    before_the_end: int, tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    asked = job(tmp_path, search={"trials": 4}, confirm=CONFIRM)
    with FileJournal(whole / "job.journal") as journal:
        undisturbed = Company(Driver(asked, INFO, journal), slots=2)
        undisturbed.run()
    company(asked, broken, slots=2, most_reports=undisturbed.turns - before_the_end)
    assert told(broken).phase == "confirm"
    for _ in range(2):
        company(asked, broken, slots=2, most_reports=1)
    company(asked, broken, slots=2)
    assert list(confirmed(told(broken)).items()) == list(confirmed(told(whole)).items())


def test_replicates_that_were_lost_with_their_worker_go_on_alone(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path, confirm=CONFIRM), INFO, journal)
        workers = Workers(driver)
        while (first := driver.next()) is not None and not first.test:
            workers.epoch[first.key] = 0
            while driver.report(workers.slice(first)):
                pass
        assert first is not None
        group = [first, *driver.company([first.key], 1)]
        assert len(group) == 5
        for work in group:
            driver.worker_lost(work.key, "the worker was killed")
        for work in group:
            again = driver.next()
            assert again is not None
            assert again.key == work.key
            assert driver.company([again.key], 1) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"batch_size": 4096}},
        {"resources": {"gpus_per_trial": 1}},
        {"arms": ["transformer"]},
    ],
    ids=["large batches", "accelerators", "cells that are not fused"],
)
def test_what_gains_nothing_by_company_is_handed_out_one_by_one(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    groups = company(job(tmp_path, confirm={"seeds": 4}, **changes), tmp_path)
    assert {len(group) for group in groups} == {1}
