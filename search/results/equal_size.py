"""The job that compares a job's arms at equal size: the same, with a budget of parameters."""

import math
from typing import Any

from search.job.spec import JobSpec
from search.job.yaml_text import write
from search.results.read import Results
from spaces.errors import InputError
from spaces.own_task import OwnData

_SUFFIX = "-equal"  #: of the new job's name
_LONGEST_NAME = 63
#: Shares by which sizes may miss the target; the least that every arm can keep is taken.
_TOLERANCES = (0.03, 0.05, 0.1, 0.2)
_FIRST = ("name", "task", "arms", "space", "training")  #: keys, in the order of a job file
_SIZES = ("hidden_size", "parameters")  #: keys of a space that a budget stands for


def equal_size_job(results: Results, target: int | None = None) -> str:
    """Return the text of the job file; every configuration has about `target` parameters.

    By default that is the geometric mean of the sizes of the configurations that lead the arms.
    Raises InputError where nothing leads an arm yet, and where an arm cannot have that size.
    """
    plain = results.job.dump()
    name = plain["name"][: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
    size = target or _leading_size(results)
    plain["name"] = name
    plain["arms"] = [_without_sizes(arm) for arm in plain["arms"]]
    plain["search"] |= {"warm_start": None, "start_from": []}  # which are of other sizes
    task = results.job.task
    if isinstance(task, OwnData):
        plain["task"]["data"] = task.data.anywhere(results.job.base)
    for tolerance in _TOLERANCES:
        budget = {"target": size, "tolerance": tolerance}
        space = {key: each for key, each in plain["space"].items() if key not in _SIZES}
        plain["space"] = {**space, "parameters": budget}
        try:
            JobSpec.from_dump(plain, results.job.base).check(results.info)
            break
        except InputError:
            if tolerance == _TOLERANCES[-1]:
                raise
    head = f"# The arms of {results.job.name} at equal size, about {size:,} parameters each.\n"
    return head + write({key: plain[key] for key in (*_FIRST, *plain) if key in plain})


def _without_sizes(arm: Any) -> Any:
    """Return an arm as a job file has it, whose own space names no size."""
    if not isinstance(arm, dict) or not arm.get("space"):
        return arm
    return {**arm, "space": {k: each for k, each in arm["space"].items() if k not in _SIZES}}


def _leading_size(results: Results) -> int:
    """Return the geometric mean of the leaders' sizes with two significant digits."""
    leaders = [found[0].trial for arm in results.arms if (found := results.candidates(arm))]
    sizes = [leader.parameters for leader in leaders if leader.parameters]
    if len(sizes) < len(results.arms):
        rule = "each arm must have a complete trial, whose size is taken"
        raise InputError.of(results.job.name, rule, "give a size with --parameters")
    mean = math.exp(math.fsum(map(math.log, sizes)) / len(sizes))
    digits = math.floor(math.log10(mean)) - 1
    return round(mean / 10**digits) * 10**digits if digits > 0 else round(mean)
