"""The job file of an export: it trains one configuration again, with its seed."""

from importlib.metadata import version
from typing import Any

from search.job.spec import JobSpec
from search.job.yaml_text import write
from search.journal.trial import TrialResult
from search.results.read import Results
from spaces import class_weights
from spaces.cells import find
from spaces.hyperparameters import DEFAULTS, HYPERPARAMETERS
from spaces.own_task import OwnData


def job_file(results: Results, trial: TrialResult, best_epoch: int) -> str:
    """Return a job file that trains a trial's configuration again, with its seed.

    Raises InputError where it would be no valid one.
    """
    config = trial.config
    cell = find(config.cell, config.gates)
    job = results.job
    training = {
        row.name: getattr(config, row.name) for row in HYPERPARAMETERS.values() if row.training
    }
    training["class_weights"] = class_weights.written(config.class_weights)
    content: dict[str, Any] = {
        "name": f"{job.name[:40]}-{trial.arm[:14]}-{trial.number}"[:63],
        "task": _task(results),
        "arms": [{"name": trial.arm, "cell": config.cell, "gates": [config.gates]}],
        "space": {name: getattr(config, name) for name in DEFAULTS if cell.reads(name)},
        "training": {**training, "seed": trial.seed},
        "search": {
            "trials": 1,
            "sampler": "random",
            "pruner": {"kind": "none"},
            "control_fraction": 0.0,
        },
        "confirm": {"finalists": 0, "seeds": 0},
        "resources": {"cpus_per_trial": job.resources.cpus_per_trial, "gpus_per_trial": 0},
    }
    text = _comment(results, trial, best_epoch) + write(content)
    JobSpec.loads(text, "config.yaml")  # what is exported can be run
    return text


def _task(results: Results) -> dict[str, Any]:
    """Return the job's task as a job file has it, valid from any folder."""
    job = results.job
    task = {key: value for key, value in job.dump()["task"].items() if value is not None}
    task = {key: task[key] for key in sorted(task, key=lambda key: key not in ("name", "kind"))}
    if isinstance(job.task, OwnData):
        task["data"] = job.task.data.anywhere(job.base)
    return task


def _comment(results: Results, trial: TrialResult, best_epoch: int) -> str:
    job, info = results.job, results.info
    devices = job.resources.devices
    lines = [
        f"Trains one configuration again: trial {trial.number} of arm {trial.arm}, "
        f"job {job.name} (gatesearch {version('gatesearch')}).",
        f"There {info.metric.name} on validation data was {trial.value!r}, at epoch {best_epoch} "
        f"of {trial.epochs}; with the same",
        "versions, processor and cpus_per_trial it is the same again on a CPU"
        + ("." if devices == "CPU" else f" (the trial itself ran on a {devices})."),
        f"Data: sha256 {info.fingerprint}.",
    ]
    if isinstance(job.task, OwnData):
        lines.append("task.data is where the data lay then; change it if the data was moved.")
    lines.append("Run it with: gatesearch run config.yaml")
    return "".join(f"# {line}\n" for line in lines)
