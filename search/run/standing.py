"""How far a job is, from its journal alone; `python -m search.run.standing FOLDER` prints it.

The last line that it prints is `GATESEARCH-STANDING` and a JSON object, or null where the folder
holds no job that has begun: see `standing`. `gatesearch status` reads it from a cluster's log.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.results.format import full_storage, gigabytes
from search.results.read import NotBegunError, read_state
from search.run.budgets import STATES, SearchBudgets
from search.run.confirmation import Confirmation
from search.run.retention import Retention
from search.run.storage_limit import StorageLimit
from spaces.errors import InputError


def standing(folder: Path) -> dict[str, Any] | None:
    """Return a job's phase, arms, trials, best value so far and time left; plain JSON types.

    {"phase", "metric", "best": {"arm", "number", "value"} or null, "seconds_left": number or null,
     "arms": [{"arm", "spent", "budget", "unit", "states": {state: trials}, "best": value or null,
               "confirmed", "replicates"}],
     "storage": {"bytes", "limit_gb": number or null, "full": sentence or null}}
    spent and budget are in unit: trials that have ended, epochs or s. None where the folder has no
    job that has begun. Raises InputError for a journal that cannot be read.
    """
    try:
        job, job_state = read_state(folder)
    except NotBegunError:
        return None
    return standing_of(job, job_state)


def standing_of(job: JobSpec, job_state: JobState) -> dict[str, Any]:
    """Return what `standing` does, of a journal that was read already."""
    assert job_state.info is not None
    budgets, confirmation = SearchBudgets(job, job_state), Confirmation(job, job_state)
    metric = job_state.info.metric
    arms: list[dict[str, Any]] = []
    leaders: list[TrialState] = []
    for arm in job.arms:
        states = budgets.states(arm.name)
        leader = next(iter(confirmation.best(arm.name, 1)), None)
        leaders += [] if leader is None else [leader]
        trials = states.total() - states["running"] - states["paused"]
        arms.append(
            {
                "arm": arm.name,
                "spent": trials if budgets.unit == "trials" else budgets.spent(arm.name),
                "budget": budgets.amount,
                "unit": budgets.unit,
                "states": {state: states[state] for state in STATES},
                "best": None if leader is None else leader.value,
                "confirmed": confirmation.states(arm.name)["complete"],
                "replicates": confirmation.replicates,
            }
        )
    with_value = [(one.value, one) for one in leaders if one.value is not None]
    best = min(with_value, key=lambda pair: metric.cost(pair[0]), default=None)
    ended = [trial for trial in job_state.trials.values() if trial.state != "running"]
    worked = sum(trial.seconds for trial in job_state.trials.values() if trial.phase == "search")
    rate = job_state.search_seconds / worked if worked else None
    left: float | None = 0.0
    if job_state.phase in ("search", "confirm"):
        left = None if rate is None else seconds_left(job, budgets, confirmation, ended, rate)
    retention = Retention(job, job_state, confirmation, job.storage.keep_best)
    limit = StorageLimit(job, job_state, retention)
    limit.make_room()  # as the driver has, of which no record tells
    return {
        "phase": job_state.phase,
        "metric": metric.name,
        "best": None
        if best is None
        else {"arm": best[1].arm, "number": best[1].number, "value": best[0]},
        "seconds_left": left,
        "arms": arms,
        "storage": {
            "bytes": limit.bytes,
            "limit_gb": job.storage.limit_gb,
            "full": job_state.full and full_storage(**job_state.full),
        },
    }


def seconds_left(
    job: JobSpec,
    budgets: SearchBudgets,
    confirmation: Confirmation,
    ended: Sequence[TrialState],
    rate: float,
) -> float | None:
    """Return about how many seconds a job still takes; None while there is nothing to go by.

    ended: its trials that do not run. rate: wall-clock seconds for each second of a worker.
    """
    complete = [trial.seconds for trial in ended if trial.state == "complete"]
    if not complete:
        return None
    search = [trial for trial in ended if trial.phase == "search"]
    mean = sum(trial.seconds for trial in search) / max(1, len(search))
    mean_epochs = sum(trial.epoch for trial in search) / max(1, len(search))
    spent = sum(min(budgets.spent(arm.name), budgets.amount) for arm in job.arms)
    unspent = budgets.amount * len(job.arms) - spent
    per_unit = {"trials": mean, "s": 1.0, "epochs": mean / max(1, mean_epochs)}
    replicates = confirmation.replicates * len(job.arms)
    replicates -= sum(trial.phase == "confirm" for trial in ended)
    work = unspent * per_unit[budgets.unit] + replicates * sum(complete) / len(complete)
    return work * rate


def clock(seconds: float) -> str:
    """Return a duration as people read it: 3:07, 1:02:30."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sentences(found: dict[str, Any]) -> list[str]:
    """Return what `standing` found as lines for people."""
    best = found["best"]
    first = [f"phase {found['phase']}"]
    if best is not None:
        first.append(f"best {found['metric']} {best['value']:.4g} ({best['arm']} {best['number']})")
    if found["seconds_left"] is not None and found["phase"] != "done":
        first.append(f"about {clock(found['seconds_left'])} left")
    lines = [", ".join(first)]
    for arm in found["arms"]:
        parts = [f"{arm['arm']}: {arm['spent']:.4g} of {arm['budget']:g} {arm['unit']}"]
        parts += [f"{count} {state}" for state, count in arm["states"].items() if count]
        if arm["best"] is not None:
            parts.append(f"best {arm['best']:.4g}")
        if arm["replicates"] and found["phase"] != "search":
            parts.append(f"{arm['confirmed']} of {arm['replicates']} confirmed")
        lines.append(", ".join(parts))
    storage = found["storage"]
    if storage["full"] is not None:
        lines.append(f"ended: {storage['full']}")
    elif storage["bytes"]:
        of = "" if storage["limit_gb"] is None else f" of {storage['limit_gb']:g} GB"
        lines.append(f"checkpoints hold {gigabytes(storage['bytes'])}{of}")
    return lines


def main(folder: Path) -> int:
    """Print a job's standing; 0 where it could be read."""
    try:
        found = standing(folder)
    except InputError as error:
        os.write(1, f"{error}\n".encode(errors="replace"))
        return 2
    os.write(1, f"GATESEARCH-STANDING {json.dumps(found)}\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
