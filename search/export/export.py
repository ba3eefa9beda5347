"""Exports a job's best configurations: a job file, the weights, an ONNX model and a card.

    config.yaml            trains this one configuration again, with its seed
    weights.safetensors    the best epoch's weights (trainables.export.weights.load_model)
    model.onnx             the same model for onnxruntime, fed with raw data
    card.md                what it is and what is known of it, for people

One configuration goes to OUT itself, several to OUT/<rank>-<arm>-<number>. All of OUT is made
beside its place and renamed: it is whole or it is as it was.
"""

import itertools
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.export.card import Exported, card
from search.export.folder import (
    CARD,
    CONFIG,
    FORMAT,
    MODEL,
    WEIGHTS,
    check_free,
    replacing_export,
)
from search.export.job_file import job_file
from search.job.commands import command
from search.job.folder import checkpoint_store
from search.journal.trial import TrialResult
from search.results.ranking import Candidate
from search.results.read import Results
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.text import listed, suggestion
from trainables.checkpoints.base import CheckpointError, StoreError
from trainables.data import tasks
from trainables.data.batches import Batches
from trainables.data.sequences import Data, TargetScaling
from trainables.export import onnx, weights
from trainables.files import write_new
from trainables.training.trainer import Training

#: The comparison with torch runs on at most so many batches of validation data.
CHECKED_BATCHES, BATCH = 16, 64


def export(
    results: Results, out: Path, *, top: int = 1, arm: str | None = None, force: bool = False
) -> list[Path]:
    """Export the best configurations of a job, or of one arm, and return their folders.

    Configurations are ranked by their mean validation value over the replicates of the confirm
    phase, and after those by their validation value in the search; test data has no say.
    force: an export that is in `out` is replaced; other files there stay.

    Raises InputError where there is nothing to export, the data or the checkpoint is not what the
    job was run with, or `out` is taken; ExportError where an ONNX model differs from torch's.
    """
    if arm is not None and arm not in results.arms:
        known = list(results.arms)
        raise InputError.of(
            "--arm", f"must be an arm of the job, not {arm!r}", suggestion(arm, known)
        )
    chosen = results.candidates(arm)[:top]
    if not chosen:
        of_arm = f" in arm {arm}" if arm else ""
        raise InputError.of(
            results.job.name,
            f"the job must have a complete trial{of_arm} to export; it has none",
            f"see `{command('results', results.folder)}` for why the trials ended",
        )
    if results.folder.resolve().is_relative_to(out.resolve()):
        rule = "an export must not take the place of the job that it is made from"
        raise InputError.of(str(out), rule, "name a folder that does not hold the job's")
    check_free(out, force=force)
    data = _data(results)
    names = [""] if top == 1 else [_name(rank, c.trial) for rank, c in enumerate(chosen, 1)]
    with replacing_export(out) as draft:
        for name, candidate in zip(names, chosen, strict=True):
            (draft / name).mkdir(exist_ok=True)
            _export_one(results, candidate, data, draft / name)
    return [out / name for name in names]


def _plain(scaling: TargetScaling) -> dict[str, float | list[float]]:
    """Return the scaling of targets as plain JSON types, as numbers or one for each target."""
    mean, deviation = (
        value if isinstance(value, float) else value.astype(float).tolist() for value in scaling
    )
    return {"mean": mean, "deviation": deviation}


def _name(rank: int, trial: TrialResult) -> str:
    return f"{rank}-{trial.arm}-{trial.number}"


def _data(results: Results) -> Data:
    data = tasks.load(results.job.task, results.job.base)
    if data.info.fingerprint != results.info.fingerprint:
        raise InputError.of(
            results.job.name,
            "the data must be what the model was trained on; it has changed since "
            f"(sha256 {results.info.fingerprint[:12]}… then, {data.info.fingerprint[:12]}… now)",
            "restore the data, or run the job again under another name",
        )
    return data


def _training(results: Results, trial: TrialResult, config: TrialConfig, data: Data) -> Training:
    """Return the trial as its last checkpoint has it."""
    place = f"{results.job.name}: trial {trial.number} of arm {trial.arm}"
    remedy = (
        "ask for fewer with --top (`storage: {keep_best: null}` keeps all in a new job); "
        f"`gatesearch fetch {results.job.name} --checkpoints` brings it from a cluster; or train "
        f"it again: `gatesearch run` a job with this configuration and seed {trial.seed}"
    )
    if trial.checkpoint is None:
        raise InputError.of(place, "a trial must have a checkpoint to be exported", remedy)
    store = checkpoint_store(results.job, results.folder, results.job_id)
    try:
        with store.reading(trial.checkpoint) as folder:
            training = Training.restore(folder, config, data, seed=trial.seed)
    except StoreError as error:
        rule = f"the trial's checkpoint must be readable: {error}"
        raise InputError.of(place, rule, "see to the store, then try again") from error
    except (CheckpointError, TypeError, ValueError) as error:  # its state may be anything
        best = results.job.storage.keep_best
        kept = "all trials" if best is None else f"finalists and the best {best} of each arm"
        rule = (
            f"the trial's checkpoint must be readable: {error} (the job file keeps those of "
            f"{kept}; `gatesearch clean` may have removed more)"
        )
        raise InputError.of(place, rule, remedy) from error
    names = {metric.name for metric in data.info.metrics}
    for point in training.curve:
        if not isinstance(point.metrics, dict) or not names <= point.metrics.keys():
            rule = f"{trial.checkpoint} must have the metrics {listed(sorted(names))} of each epoch"
            raise InputError.of(place, rule, remedy)
    if training.best is None or training.best.value != trial.value:
        raise InputError.of(
            place,
            f"{trial.checkpoint} must have the value of the job's journal, {trial.value}, "
            f"not {training.best and training.best.value}",
            remedy,
        )
    return training


def _export_one(results: Results, candidate: Candidate, data: Data, folder: Path) -> None:
    trial = candidate.trial
    config = trial.config
    training = _training(results, trial, config, data)
    best = training.best
    assert best is not None
    model = training.best_model()
    scaling, targets = tasks.scaling(results.job.task, data), data.train.y_scaling
    fill = data.train.fill
    metadata: dict[str, Any] = {
        "format": FORMAT,
        "gatesearch": version("gatesearch"),
        "job": results.job.name,
        "arm": trial.arm,
        "trial": trial.number,
        "seed": trial.seed,
        "epoch": best.epoch,
        "validation": best.metrics,
        "config": config.model_dump(mode="json"),
        "task": asdict(data.info),
        "scaling": scaling and {"mean": scaling[0].tolist(), "deviation": scaling[1].tolist()},
        "fill": None if fill is None else fill.tolist(),
        "target_scaling": None if targets is None else _plain(targets),
    }
    proto = onnx.convert(model, scaling=scaling, fill=fill, targets=targets, metadata=metadata)
    batches = Batches(data.validation, data.info.kind).shuffled(BATCH, seed=0, epoch=0)
    comparison = onnx.compare(
        proto,
        model,
        itertools.islice(batches, CHECKED_BATCHES),
        scaling=scaling,
        fill=fill,
        targets=targets,
    )
    if not comparison.passed:
        raise onnx.ExportError(
            f"the ONNX model of trial {trial.number} of arm {trial.arm} differs from the trained "
            f"one by {comparison.error:.3g} on validation data (largest output "
            f"{comparison.largest:.3g}); nothing was exported"
        )
    exported = Exported(results, candidate, data, config, scaling, best, comparison)
    write_new(folder / CONFIG, job_file(results, trial, best.epoch).encode())
    write_new(folder / WEIGHTS, weights.pack_model(model, metadata))
    write_new(folder / MODEL, proto.SerializeToString())
    write_new(folder / CARD, card(exported).encode())
