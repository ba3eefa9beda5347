"""The claims and their jobs belong together: each job is there, and each rule finds its arms."""

from io import StringIO
from pathlib import Path

import pytest
from claimed_jobs import results_of, scored
from rich.console import Console

from search.job.spec import JobSpec
from search.results.claims import shown
from search.results.claims.table import CLAIMS, PREFIX, Claim, jobs_of
from search.results.terminal import draw
from search.run.claims import installed_jobs
from trainables.data import tasks

JOBS = jobs_of(CLAIMS)


def test_every_job_file_belongs_to_a_claim_and_every_claim_has_its_files() -> None:
    assert {path.stem for path in installed_jobs().glob("*.yaml")} == set(JOBS)
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


@pytest.mark.parametrize("job", JOBS)
def test_a_claims_job_can_be_run_under_its_name(job: str) -> None:
    spec = JobSpec.load(installed_jobs() / f"{job}.yaml")
    assert spec.name == f"{PREFIX}{job}" and not spec.warnings
    spec.check(tasks.load(spec.task, Path()).info)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_asks_of_arms_that_its_jobs_have(claim: Claim) -> None:
    for job in claim.jobs:
        arms = [arm.name for arm in results_of(job).job.arms]
        examined = shown.examine(claim, {job: scored(job, {arm: [0.5] * 12 for arm in arms})})
        for finding in examined.findings:
            named = [arm for arm in arms if arm in finding.numbers.replace(",", " ").split()]
            few = any(word in finding.numbers for word in ("control", "finalists", "not been"))
            assert len(named) >= 2 or few


def test_what_was_not_run_cannot_be_told_and_what_runs_is_named_unfinished() -> None:
    claim = next(claim for claim in CLAIMS if claim.name == "no-difference")
    job = claim.jobs[0]
    found = scored(job, {"lstm": [0.9] * 3, "gru": [0.9] * 3})
    object.__setattr__(found, "phase", "confirm")
    first, *others = shown.examine(claim, {job: found}).findings
    assert "unfinished" in first.numbers
    assert {other.answer for other in others} == {"cannot tell"}
    assert all("has not been run" in other.numbers for other in others)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_job_that_has_only_begun_cannot_tell(claim: Claim) -> None:
    examined = shown.examine(claim, {job: results_of(job) for job in claim.jobs})
    assert len(examined.findings) >= len(claim.jobs)
    assert {finding.answer for finding in examined.findings} == {"cannot tell"}


def test_terminal_markdown_and_json_tell_the_same_findings() -> None:
    claim = next(claim for claim in CLAIMS if claim.name == "no-difference")
    found = {job: scored(job, {"lstm": [0.9] * 12, "gru": [0.9] * 12}) for job in claim.jobs}
    examined = shown.examine(claim, found)
    told = examined.as_dict()
    assert [one["answer"] for one in told["findings"]] == ["holds"] * 3
    assert examined.summary == "holds 3"
    text = StringIO()
    Console(width=250, file=text).print(draw(shown.table([examined])))
    terminal, page = text.getvalue(), shown.markdown([examined], found)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 3 and all(row.count("|") == 6 for row in rows)
    for one in told["findings"]:
        assert one["numbers"] in page and one["task"] in page
        assert one["numbers"] in terminal and one["task"] in terminal
