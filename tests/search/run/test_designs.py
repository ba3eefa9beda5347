"""Replicates of every design, driven without Ray: which trials there are, on which splits."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from driven import INFO, Workers, drive, job, told

from search.journal.file import FileJournal
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
