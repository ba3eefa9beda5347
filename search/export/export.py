"""Exports a job's best configurations: a job file, the weights, an ONNX model and a card.

    config.yaml            trains this one configuration again, with its seed
    weights.safetensors    the best epoch's weights (trainables.export.weights.load_model)
    model.onnx             the same model for onnxruntime, fed with raw data
    card.md                what it is and what is known of it, for people

One configuration goes to OUT itself, several to OUT/<rank>-<arm>-<number>. All of OUT is made
beside its place and renamed: it is whole or it is as it was.
"""

import itertools
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from search.export.candidate import Exported, ranked
from search.export.card import card
from search.job.folder import checkpoints
from search.journal.trial import TrialResult
from search.results.ranking import Candidate
from search.results.read import Results
from spaces.cells import find
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.hyperparameters import DEFAULTS, HYPERPARAMETERS
from spaces.tasks import OwnData
from trainables.checkpoints.base import CheckpointError, StoreError
from trainables.data import tasks
from trainables.data.batches import Batches
from trainables.data.sequences import Data
from trainables.export import onnx, weights
from trainables.training.trainer import Training

CONFIG, WEIGHTS, MODEL, CARD = "config.yaml", "weights.safetensors", "model.onnx", "card.md"
FILES = (CONFIG, WEIGHTS, MODEL, CARD)
FORMAT = 1  #: of the metadata in weights and model

#: The comparison with torch runs on at most so many batches of validation data.
CHECKED_BATCHES, BATCH = 16, 64


def export(
    results: Results, out: Path, *, top: int = 1, arm: str | None = None, force: bool = False
) -> list[Path]:
    """Export the best configurations of a job, or of one arm, and return their folders.

    Configurations are ranked by their mean validation value over the replicates of the confirm
    phase, and after those by their validation value in the search; test data has no say.
    force: an export that is in `out` is replaced; other files there are kept.

    Raises InputError where there is nothing to export, the data or the checkpoint is not what the
    job was run with, or `out` is taken; ExportError where an ONNX model differs from torch's.
    """
    chosen = ranked(results, arm)[:top]
    if not chosen:
        raise InputError.of(
            results.job.name,
            "only a complete trial can be exported; there is none"
            + (f" in arm {arm}" if arm else ""),
            f"see `gatesearch results {results.job.name}` for why the trials ended",
        )
    _check_target(out, force)
    data = _data(results)
    scaling = tasks.scaling(results.job.task)
    names = [""] if top == 1 else [_name(rank, c.trial) for rank, c in enumerate(chosen, 1)]
    with _replacing(out) as draft:
        for name, candidate in zip(names, chosen, strict=True):
            (draft / name).mkdir(exist_ok=True)
            _export_one(results, candidate, data, scaling, draft / name)
    return [out / name for name in names]


def job_file(results: Results, trial: TrialResult, best_epoch: int) -> str:
    """Return a job file that trains a trial's configuration again, with its seed."""
    config = trial.config
    cell = find(config.cell, config.gates)
    job, info = results.job, results.info
    task = {key: value for key, value in job.dump()["task"].items() if value is not None}
    task = {key: task[key] for key in sorted(task, key=lambda key: key not in ("name", "kind"))}
    if isinstance(job.task, OwnData):
        task["data"] = str((job.base / Path(job.task.data).expanduser()).resolve())
    space = {name: getattr(config, name) for name in DEFAULTS if cell.reads(name)}
    training = {
        row.name: getattr(config, row.name) for row in HYPERPARAMETERS.values() if row.training
    }
    content: dict[str, Any] = {
        "name": f"{job.name[:40]}-{trial.arm[:14]}-{trial.number}"[:63],
        "task": task,
        "arms": [{"name": trial.arm, "cell": config.cell, "gates": [config.gates]}],
        "space": space,
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
    comment = [
        f"Trains one configuration again: trial {trial.number} of arm {trial.arm}, "
        f"job {job.name} (gatesearch {version('gatesearch')}).",
        f"There {info.metric.name} on validation data was {trial.value!r}, at epoch {best_epoch} "
        f"of {trial.epochs}; with the same",
        "versions, processor and cpus_per_trial it is the same again on a CPU"
        + (" (the trial itself ran on a GPU)." if job.resources.gpus_per_trial else "."),
        f"Data: sha256 {info.fingerprint}.",
    ]
    if isinstance(job.task, OwnData):
        comment.append("task.data is where the data lay then; change it if the data was moved.")
    comment.append("Run it with: gatesearch run config.yaml")
    text: str = yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=10_000
    )
    return "".join(f"# {line}\n" for line in comment) + text


def _name(rank: int, trial: TrialResult) -> str:
    return f"{rank}-{trial.arm}-{trial.number}"


def _data(results: Results) -> Data:
    data = tasks.load(results.job.task, results.job.base)
    if data.info.fingerprint != results.info.fingerprint:
        raise InputError.of(
            results.job.name,
            "a model is exported with the data that it was trained on; the data has changed since "
            f"(sha256 {results.info.fingerprint[:12]}… then, {data.info.fingerprint[:12]}… now)",
            "restore the data, or run the job again under another name",
        )
    return data


def _training(results: Results, trial: TrialResult, config: TrialConfig, data: Data) -> Training:
    """Return the trial as its last checkpoint has it."""
    place = f"{results.job.name}: trial {trial.number} of arm {trial.arm}"
    remedy = f"train it again: `gatesearch run` a job with this configuration and seed {trial.seed}"
    if trial.checkpoint is None:
        raise InputError.of(place, "a trial is exported from its checkpoint; it has none", remedy)
    store = checkpoints(results.job, results.folder, results.job_id)
    try:
        with store.reading(trial.checkpoint) as folder:
            training = Training.restore(folder, config, data, seed=trial.seed)
    except StoreError as error:
        rule = f"a trial is exported from its checkpoint; {error}"
        raise InputError.of(place, rule, "try again once the store answers") from error
    except CheckpointError as error:
        raise InputError.of(
            place, f"a trial is exported from its checkpoint; {error}", remedy
        ) from error
    if training.best is None or training.best.value != trial.value:
        raise InputError.of(
            place,
            f"{trial.checkpoint} has the value {training.best and training.best.value}; "
            f"the job's journal has {trial.value}",
            remedy,
        )
    return training


def _export_one(
    results: Results, candidate: Candidate, data: Data, scaling: onnx.Scaling | None, folder: Path
) -> None:
    trial = candidate.trial
    config = trial.config
    training = _training(results, trial, config, data)
    assert training.best is not None
    model = training.best_model()
    metadata = {
        "format": FORMAT,
        "gatesearch": version("gatesearch"),
        "job": results.job.name,
        "arm": trial.arm,
        "trial": trial.number,
        "seed": trial.seed,
        "epoch": training.best.epoch,
        "validation": training.best.metrics,
        "config": config.model_dump(mode="json"),
        "task": asdict(data.info),
        "scaling": scaling and {"mean": scaling[0].tolist(), "deviation": scaling[1].tolist()},
    }
    proto = onnx.convert(model, scaling=scaling, metadata=metadata)
    batches = Batches(data.validation, data.info.kind).shuffled(BATCH, seed=0, epoch=0)
    comparison = onnx.compare(
        proto, model, itertools.islice(batches, CHECKED_BATCHES), scaling=scaling
    )
    if not comparison.passed:
        raise onnx.ExportError(
            f"the ONNX model of trial {trial.number} of arm {trial.arm} differs from the trained "
            f"one by {comparison.error:.3g} on validation data (largest output "
            f"{comparison.largest:.3g}); nothing was exported"
        )
    exported = Exported(
        results,
        candidate,
        data,
        config,
        scaling,
        training.best.epoch,
        training.best.metrics,
        comparison,
    )
    _write(folder / CONFIG, job_file(results, trial, training.best.epoch).encode())
    _write(folder / WEIGHTS, weights.packed(model, metadata))
    _write(folder / MODEL, proto.SerializeToString())
    _write(folder / CARD, card(exported).encode())


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


# What may be replaced


def is_export(folder: Path) -> bool:
    """Return whether a folder holds one exported configuration."""
    return all((folder / name).is_file() for name in FILES)


def _own(out: Path) -> set[str]:
    """Return the names in `out` that an export has made: its files, or folders of several."""
    if is_export(out):
        return set(FILES)
    numbered = re.compile(r"\d+-.+-\d+")
    return {p.name for p in out.iterdir() if numbered.fullmatch(p.name) and is_export(p)}


def _check_target(out: Path, force: bool) -> None:
    """Raise InputError unless `out` is free, or an export that is to be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise InputError.of(str(out), "an export is a folder; this is a file", "name another")
    if not any(out.iterdir()):
        return
    if not _own(out):
        raise InputError.of(
            str(out),
            "an export replaces nothing but an export; this folder holds something else",
            "name a folder that does not exist yet",
        )
    if not force:
        raise InputError.of(
            str(out),
            "there is an export already",
            "replace it with --force, or name another folder",
        )


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Give a draft folder; at the end it takes the place of `out`, whose other files it keeps."""
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
        draft.mkdir()
    except OSError as error:
        raise InputError.of(
            str(out), f"the export's folder can be made; {error.strerror}", "name another folder"
        ) from error
    try:
        yield draft
        if not out.exists():
            draft.rename(out)
            return
        _keep(out, draft)
        aside = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
        out.rename(aside)
        try:
            draft.rename(out)
        except BaseException:
            aside.rename(out)
            raise
        shutil.rmtree(aside)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _keep(out: Path, draft: Path) -> None:
    """Copy what is in `out` and no export's own."""
    own = _own(out)
    for path in out.iterdir():
        if path.name in own:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, draft / path.name, symlinks=True)
        else:
            shutil.copy2(path, draft / path.name, follow_symlinks=False)
