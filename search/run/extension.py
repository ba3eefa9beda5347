"""More budget for a job: what is recorded of it, and what stands in its way."""

from collections.abc import Iterator
from typing import Any

from search.job.spec import JobSpec
from search.run.budgets import SearchBudgets
from search.run.confirmation import Confirmation
from spaces.errors import InputError, Problem


def record(
    job: JobSpec,
    budgets: SearchBudgets,
    confirmation: Confirmation,
    trials: int,
    seeds: int,
    replicates: int,
) -> dict[str, Any]:
    """Return the record of more trials an arm, and replicates. Seeds are replicates by seed.

    Raises InputError, with all problems, where the job could not use them.
    """
    if problems := list(_problems(job, budgets, trials, seeds, replicates)):
        raise InputError(problems)
    more = seeds + replicates
    found: dict[str, Any] = {"record": "extend", "trials": trials, "seeds": more}
    if job.confirm.auto and more:  # so many more than there are, whatever they have told
        found["replicates"] = confirmation.begun_replicates + more
    return found


def _problems(
    job: JobSpec, budgets: SearchBudgets, trials: int, seeds: int, replicates: int
) -> Iterator[Problem]:
    """Yield why a job could not use more trials of its search, seeds or replicates."""
    warm = "run a job of another name with `search: {warm_start: NAME}`"
    if trials and budgets.unit != "trials":
        rule = f"the job's budget must be in trials, not in {budgets.unit}"
        yield Problem("--trials", rule, warm)
    elif trials and budgets.out_of_time:
        rule = "the job must have wall-clock time left; its limit is reached"
        yield Problem("--trials", rule, f"{warm} and a greater limit")
    confirm = job.confirm
    if seeds and confirm.design != "seeds":
        rule = f"the job's design must be seeds, not {confirm.design}"
        yield Problem("--seeds", rule, f"give --replicates {seeds}")
    elif (seeds or replicates) and confirm.design != "nested" and not confirm.finalists:
        rule = "the job must confirm finalists; confirm.finalists is 0"
        remedy = "start a job of its own with confirm.finalists"
        yield Problem("--seeds" if seeds else "--replicates", rule, remedy)
