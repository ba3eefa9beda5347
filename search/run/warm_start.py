"""Trials of a prior job that the samplers of a new one learn from: `search: {warm_start: NAME}`.

The prior job is in the same root and has an arm of the same name for each of the new job's; it
measures the same metric. Its trials count for nothing else: they are in no budget, no rung and no
result. They are copied into the new job's journal when it is begun, and never read again.

A prior trial is of use where its configuration lies in the new arm's space: every searched value
in its domain, every fixed one the same. Only the number of epochs may differ.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from search.journal.trial import TrialResult
from search.results.read import Results, read_results
from search.run.former_jobs import learn
from search.run.overlap import may_have_seen
from search.study.prior_trials import Prior, PriorTrial
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.domains import Domain
from spaces.fields import Fault
from spaces.tasks import TaskInfo
from spaces.text import listed, show, suggestion
from trainables.data.sequences import Data

_PLACE = ("search", "warm_start")  # in the job file


def inherit(job: JobSpec, data: Data, root: Path) -> Prior:
    """Return what former jobs hand over: trials of one, or else how the rates of all of them lay.

    Nothing where the job asks for neither. Raises as `find` does.
    """
    name = job.search.warm_start
    if name is not None:
        seen = may_have_seen(read_results(root / name), data)
        return Prior(find(job, data.info, root), seen)
    return Prior(rates=learn(job, data, root) if job.search.prior == "jobs" else None)


def find(job: JobSpec, info: TaskInfo, root: Path) -> dict[str, list[PriorTrial]]:
    """Return the trials of the prior job that each arm learns from; nothing without a warm start.

    Raises InputError where there is no such job or arm, where it measures something else, and where
    none of an arm's trials lies in its space.
    """
    name = job.search.warm_start
    if name is None:
        return {}
    prior = _read(job, name, info, root)
    limit = job.search.constraints.latency_ms
    faults: list[Fault] = []
    found = {}
    for arm in job.arms:
        trials = [t for t in prior.search if t.arm == arm.name and _is_informative(t, limit)]
        if not trials:
            has = f"has {listed(prior.arms)}" if arm.name not in prior.arms else "ended none"
            rule = f"job {name} must have trials of an arm {arm.name}; it {has}"
            remedy = "name each arm as in the prior job, or leave warm_start out"
            faults.append(Fault(rule, remedy, _PLACE))
            continue
        found[arm.name], misfits = _fitting(arm, trials)
        if not found[arm.name]:
            (key, value), count = misfits.most_common(1)[0]
            rule = (
                f"a trial of arm {arm.name} of job {name} must lie in this arm's space; none of "
                f"{len(trials)} does: {key} was {show(value)} in {count} of them"
            )
            remedy = f"let the space include such values of {key}, or leave warm_start out"
            faults.append(Fault(rule, remedy, _PLACE))
    if faults:
        raise job.refusal(faults)
    return found


def _read(job: JobSpec, name: str, info: TaskInfo, root: Path) -> Results:
    """Return the prior job's results. Raises InputError where they cannot be learned from."""
    if not (root / name).is_dir():
        rule = f"warm_start must name a job in {root}, not {show(name)}"
        jobs = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        remedy = suggestion(name, jobs) if jobs else "leave warm_start out, or give another --root"
        raise job.refusal([Fault(rule, remedy, _PLACE)])
    prior = read_results(root / name)
    theirs, ours = prior.info.metric, info.metric
    if theirs != ours:
        rule = (
            f"job {name} must have measured {ours.name} ({ours.direction}), as this one does, "
            f"not {theirs.name} ({theirs.direction})"
        )
        raise job.refusal([Fault(rule, "name a job with the same metric", _PLACE)])
    return prior


def _is_informative(trial: TrialResult, latency_limit: float | None) -> bool:
    """Return whether a sampler can learn from a trial; one that was too slow says only that."""
    if trial.state == "pruned" and not trial.epochs:
        return latency_limit is not None and trial.latency_ms is not None
    return trial.state in ("complete", "pruned", "diverged")


def _fitting(
    arm: Arm, trials: list[TrialResult]
) -> tuple[list[PriorTrial], Counter[tuple[str, Any]]]:
    """Return the trials that lie in an arm's space, and what keeps the others out, counted."""
    fitting = []
    misfits: Counter[tuple[str, Any]] = Counter()
    for trial in trials:
        try:
            answers = answers_to(arm, trial.config)
        except _OutsideError as outside:
            misfits[outside.name, outside.value] += 1
            continue
        state = trial.state
        assert state in ("complete", "pruned", "diverged"), state
        last = trial.curve[-1] if trial.curve else None
        fitting.append(
            PriorTrial(
                answers=answers,
                state=state,
                value=trial.value if state == "complete" else None,
                last=(last.epoch, last.value) if last is not None else None,
                latency_ms=trial.latency_ms,
            )
        )
    return fitting, misfits


class _OutsideError(Exception):
    """A configuration does not lie in an arm's space, for the value of one setting."""

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value


def answers_to(arm: Arm, config: TrialConfig) -> dict[str, Any]:
    """Return the answers to an arm's questions that give a configuration.

    Raises _OutsideError where none do.
    """
    answers: dict[str, Any] = {}

    def ask(name: str, domain: Domain) -> Any:
        value: Any
        if name == "cell":
            cell = config.cell, config.gates
            value = None
            for branch in arm.branches:
                if cell in [(each.family, each.gates) for each in branch.cells]:
                    value = branch.name
        else:
            value = getattr(config, "gates" if name.startswith("gates[") else name)
        if value not in domain:
            raise _OutsideError(name, config.cell if name == "cell" else value)
        answers[name] = value
        return value

    answered = arm.configure(ask)
    for name in TrialConfig.model_fields:
        if name != "max_epochs" and getattr(config, name) != getattr(answered, name):
            raise _OutsideError(name, getattr(config, name))
    return answers
