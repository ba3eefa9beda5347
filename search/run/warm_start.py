"""Trials of a former job that the samplers of a new one learn from: `search: {warm_start: NAME}`.

The former job is in the same root and has an arm of the same name for each of the new job's; it
measures the same metric. Its trials count for nothing else: they are in no budget, no rung and no
result. They are copied into the new job's journal when that is begun, and never looked up again.

A former trial is of use where its configuration lies in the new arm's space: every searched value
in its domain, every fixed one the same. Only the number of epochs may differ.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from search.journal.trial import TrialResult
from search.results.read import read_results
from search.study.prior_trials import PriorTrial
from spaces.arms import Arm
from spaces.domains import Domain
from spaces.errors import InputError
from spaces.fields import Fault
from spaces.tasks import TaskInfo
from spaces.text import listed, show, suggestion


def find(job: JobSpec, info: TaskInfo, root: Path) -> dict[str, list[PriorTrial]]:
    """Return the trials of the former job that each arm learns from; nothing without a warm start.

    Raises InputError where there is no such job or arm, where it measures something else, and where
    none of an arm's trials fits.
    """
    name = job.search.warm_start
    if name is None:
        return {}
    if not (root / name).is_dir():
        rule = f"there is no job {show(name)} in {root}"
        jobs = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        remedy = suggestion(name, jobs) if jobs else "leave warm_start out, or give another --root"
        raise _refused(job, rule, remedy)
    former = read_results(root / name)
    faults = []
    theirs, ours = former.info.metric, info.metric
    if (theirs.name, theirs.direction) != (ours.name, ours.direction):
        rule = f"job {name} measured {theirs.name} ({theirs.direction}), this one {ours.name}"
        raise _refused(job, rule, "name a job with the same metric")
    found = {}
    for arm in job.arms:
        records = [
            record
            for record in former.search
            if record.arm == arm.name and _tells(record, job.search.constraints.latency_ms)
        ]
        if not records:
            has = f"has {listed(former.arms)}" if arm.name not in former.arms else "ended none"
            rule = f"job {name} has no trials of an arm {arm.name}: it {has}"
            remedy = "arms learn from arms of their own name: give each its like, or leave it out"
            faults.append(Fault(rule, remedy, ("search", "warm_start")))
            continue
        found[arm.name], misfits = _fitting(arm, records)
        if not found[arm.name]:
            (key, value), count = misfits.most_common(1)[0]
            rule = (
                f"none of the {len(records)} trials of arm {arm.name} of job {name} lies in this "
                f"arm's space: {key} was {show(value)} in {count} of them"
            )
            remedy = f"let the space include such values of {key}, or leave warm_start out"
            faults.append(Fault(rule, remedy, ("search", "warm_start")))
    if faults:
        raise job.refusal(faults)
    return found


def _refused(job: JobSpec, rule: str, remedy: str) -> InputError:
    return job.refusal([Fault(rule, remedy, ("search", "warm_start"))])


def _tells(record: TrialResult, latency_limit: float | None) -> bool:
    """Return whether a former trial tells something: one that was too slow tells only that."""
    if record.state == "pruned" and not record.epochs:
        return latency_limit is not None and record.latency_ms is not None
    return record.state in ("complete", "pruned", "diverged")


def _fitting(
    arm: Arm, records: list[TrialResult]
) -> tuple[list[PriorTrial], Counter[tuple[str, Any]]]:
    """Return the trials that lie in an arm's space, and what keeps the others out, counted."""
    fitting = []
    misfits: Counter[tuple[str, Any]] = Counter()
    for record in records:
        try:
            answers = answers_to(arm, record.config.model_dump(mode="json"))
        except _OutsideError as outside:
            misfits[outside.name, outside.value] += 1
            continue
        complete = record.state == "complete"
        last = record.curve[-1] if record.curve else None
        fitting.append(
            PriorTrial(
                answers=answers,
                state="complete" if complete else "pruned",
                value=record.value if complete else None,
                last=(last.epoch, last.value) if last is not None else None,
                latency_ms=record.latency_ms,
            )
        )
    return fitting, misfits


class _OutsideError(Exception):
    def __init__(self, name: str, value: Any) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value


def answers_to(arm: Arm, config: dict[str, Any]) -> dict[str, Any]:
    """Return what an arm's questions must be answered with for a configuration to come out.

    Raises _OutsideError where it cannot come out.
    """
    answers: dict[str, Any] = {}

    def ask(name: str, domain: Domain) -> Any:
        if name == "cell":
            value: Any = next((b.name for b in arm.branches if _has(b.cells, config)), None)
        else:
            value = config["gates" if name.startswith("gates[") else name]
        if value not in domain:
            raise _OutsideError(name, config["cell"] if name == "cell" else value)
        answers[name] = value
        return value

    came_out = arm.configure(ask).model_dump(mode="json")
    for name, value in came_out.items():
        if name != "max_epochs" and config.get(name) != value:
            raise _OutsideError(name, config.get(name))
    return answers


def _has(cells: tuple[Any, ...], config: dict[str, Any]) -> bool:
    return any((c.family, c.gates) == (config["cell"], config["gates"]) for c in cells)
