"""The verdict on a job's arms, from the replicates of their leaders; verdict.json."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from search.job.commands import command
from search.job.confirm_section import ConfirmSection
from search.results.evidence.judge import judge
from search.results.evidence.pairs import Margin, Results
from search.results.evidence.verdict import Verdict
from search.results.example_differences import resampled
from search.results.figures import ArmSummary, Comparison, Progress
from search.results.inheritance import objections
from search.results.scores import replicate_results
from trainables.files import replace_file

if TYPE_CHECKING:
    from search.results.read import Results as JobResults


def judge_job(
    results: "JobResults",
    arms: Sequence[ArmSummary],
    progress: Progress,
) -> Verdict:
    """Return the verdict on the arms of a job; unfinished jobs too.

    Replicates of equal number are a pair: they share their seed, and their split where the design
    has several. A diverged replicate is a loss; one that failed is missing. An arm without a leader
    takes no part. What speaks against a verdict after a warm start leaves none.
    """
    metric, confirm = results.info.metric, results.job.confirm
    names = [arm.name for arm in arms]
    paired = Results(replicate_results(metric, names, results.trials))
    verdict = judge(
        paired.scores,
        metric=metric.name,
        maximize=metric.maximize,
        design=confirm.design,
        margin=margin_of(confirm),
        confidence=confirm.confidence,
        baselines=results.test_baselines,
        ceiling=metric.ceiling,
        test_sequences=results.test_sequences,
        observations=paired.observations,
        test_to_train=results.test_to_train,
        remedy=_remedy(results, arms, progress),
    )
    if against := objections(results):
        return replace(verdict, kind="none", sentence=against[0], best=(), pairs=())
    beside = resampled(results, verdict)
    return replace(
        verdict,
        pairs=tuple(
            replace(pair, resampled_interval=beside.get((pair.first, pair.second)))
            for pair in verdict.pairs
        ),
    )


def margin_of(confirm: ConfirmSection) -> Margin | None:
    """Return the margin that a job file gives, in the metric's unit; None for the usual one."""
    return None if confirm.margin is None else Margin(confirm.margin)


def write_verdict(comparison: Comparison, path: Path) -> None:
    """Write verdict.json, whole or not at all."""
    text = json.dumps(comparison.verdict.as_dict(), indent=2, allow_nan=False)
    replace_file(path, f"{text}\n".encode())


def _remedy(results: "JobResults", arms: Sequence[ArmSummary], progress: Progress) -> str:
    """Return what to do where nothing can be compared."""
    if len(arms) < 2:
        return f"there is nothing to compare {arms[0].name} with; a job of two arms tells"
    if progress == "searching":
        return "the search goes on, and finalists are trained again after it"
    if sum(arm.best is not None for arm in arms) < 2:
        return "fewer than two arms have a complete trial; see why trials ended"
    if progress == "confirming":
        return "no finalists of two arms have been trained again yet"
    if results.job.confirm.design == "nested":
        return "no configurations of two arms have been scored on a split yet"
    if results.job.confirm.finalists == 0:
        return "the job trains no finalists again; run it with confirm: {finalists: 1, seeds: 10}"
    more = command("extend", results.folder)
    return f"no finalist was trained again with fresh seeds; `{more} --replicates 10` does that"
