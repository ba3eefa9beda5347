"""Applies an exported model to new sequences: NumPy and onnxruntime, no torch and no Ray."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.export.folder import FILES, FORMAT, MODEL
from search.export.prediction import Prediction, check_output
from search.journal.records import check_task
from spaces.config import TrialConfig, completed
from spaces.errors import InputError
from spaces.kinds import of_several
from spaces.tasks import TaskInfo
from spaces.text import first_line, show
from trainables.data.formats.labels import encode_as
from trainables.data.formats.own import read_new
from trainables.data.formats.ragged import Ragged
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.sequences import Sequences
from trainables.data.stretches import whole
from trainables.part_metrics import part_metric, summed_metrics

#: Float32 numbers that a batch may need for inputs, outputs or attention (a single sequence may
#: need more).
BATCH_NUMBERS = 2**24
_REMEDY = "give a folder that `gatesearch export` or `gatesearch run` made (runs/NAME/best)"

Array = NDArray[Any]


def predict(folder: Path, data: Path, out: Path | None = None) -> Prediction:
    """Predict, and write to `out` (.csv or .npz) if it is given.

    Raises InputError for a folder that is no export and for data that the model cannot take.
    """
    if out is not None:
        check_output(out, [data, *(folder / name for name in FILES)])
    prediction = apply(folder, data)
    if out is not None:
        prediction.write(out)
    return prediction


def apply(folder: Path, data: Path) -> Prediction:
    """Return what the exported model in `folder` predicts for the sequences of a file.

    The file holds sequences as a user's own data does; targets and split are optional and are used
    for metrics alone. Raises InputError.
    """
    session, info, config, unit = _open(folder)
    sequences, ragged = read_new(data, info)
    if sequences.characters is not None:
        unit = float((sequences.lengths - 1).sum() / max(1, sequences.characters.sum()))
    if config.carry_state != "never" and sequences.offsets is not None:
        # Its outputs, in double precision, and what is made of them.
        needed = 50 * int(sequences.lengths.sum()) * info.outputs
        refuse_unless_it_fits(needed, data.name, "give less text at a time")
        sequences = whole(sequences)  # as it was scored in training: from its beginning to its end
    y, split = _targets(ragged, info), ragged.split
    scores = _Scores(info, len(sequences), unit)
    results: Array = np.zeros((len(sequences), info.outputs), np.float32)
    for chosen, x, lengths in _batches(sequences, info, config):
        outputs = _outputs(session, x, lengths, info, folder / MODEL)
        _check_finite(outputs, chosen, data.name)
        if info.kind == "tagging":
            scores.add_tags(chosen, outputs, lengths)
        elif info.causal:
            results[chosen] = outputs[np.arange(len(chosen)), lengths - 1]
            scores.add_steps(chosen, outputs, x, lengths)
        else:
            results[chosen] = outputs
    if y is not None and info.kind == "tagging":
        scores.score_tags(sequences, y)
    elif y is not None:
        scores.add_sequences(results, y)
    by_split = {}
    if split is not None:
        by_split = {str(part): scores.metrics(split == part) for part in np.unique(split)}
    return Prediction(
        info,
        _arrays(info, scores.tags(sequences) if info.kind == "tagging" else results),
        scores.metrics(np.ones(len(sequences), np.bool_)),
        {part: metrics for part, metrics in by_split.items() if metrics},
        ragged.ids,
        sequences.lengths if info.kind == "tagging" else None,
    )


def _check_finite(outputs: Array, chosen: NDArray[np.int64], place: str) -> None:
    finite = np.isfinite(outputs).reshape(len(chosen), -1).all(axis=1)
    if not finite.all():
        raise InputError.of(
            f"{place}: sequence {int(chosen[~finite].min())}",
            "the model's outputs must be finite; for this sequence they are not",
            "check its values: they are far outside of what the model was trained on",
        )


def _outputs(session: Any, x: Array, lengths: Array, info: TaskInfo, path: Path) -> Array:
    """Return the model's outputs [B, outputs], causal [B, T, outputs], of a padded batch.

    A single sequence is run beside itself: onnxruntime multiplies a row alone by another kernel,
    which rounds otherwise, and a prediction is to be the same whatever else is in the file.
    """
    if len(x) == 1:
        x, lengths = np.repeat(x, 2, axis=0), np.repeat(lengths, 2)
        return _outputs(session, x, lengths, info, path)[:1]
    expected = (*(x.shape[:2] if info.stepwise else x.shape[:1]), info.outputs)
    try:
        (outputs,) = session.run(None, {"x": x, "lengths": lengths})
        if outputs.shape == expected and outputs.dtype == np.float32:
            found: Array = outputs
            return found
        detail = f"its outputs are {outputs.dtype}{list(outputs.shape)}, not {list(expected)}"
    except Exception as error:  # onnxruntime documents no classes of exceptions
        detail = first_line(error)
    rule = f"must be the model of the task that its metadata tell: {detail}"
    raise InputError.of(str(path), rule, _REMEDY)


def _open(folder: Path) -> tuple[Any, TaskInfo, TrialConfig, float | Array]:
    """Return a session of the folder's model, its task, its configuration and its targets' unit."""
    import onnxruntime

    path = folder / MODEL
    if not path.is_file():
        raise InputError.of(str(folder), f"DIR must be a folder that holds {MODEL}", _REMEDY)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        content = path.read_bytes()
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime documents no classes of exceptions
        rule = f"must be a readable model: {first_line(error)}"
        raise InputError.of(str(path), rule, _REMEDY) from error
    try:
        metadata = json.loads(session.get_modelmeta().custom_metadata_map["gatesearch"])
        if metadata["format"] != FORMAT:
            raise InputError.of(
                str(path),
                f"must be an export of format {FORMAT}, not {show(metadata['format'])}",
                f"use the gatesearch that made it, {show(metadata.get('gatesearch'))}",
            )
        info = check_task(metadata["task"])
        config = TrialConfig(**completed(metadata["config"]))
        unit = _unit(metadata.get("target_scaling"))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        rule = "must be a model with the metadata that gatesearch writes into its exports"
        raise InputError.of(str(path), rule, _REMEDY) from error
    shape = session.get_outputs()[0].shape
    if shape and shape[-1] != info.outputs:
        rule = f"must give the {info.outputs} outputs that its metadata tell, not {shape[-1]}"
        raise InputError.of(str(path), rule, _REMEDY)
    return session, info, config, unit


def _unit(target_scaling: Any) -> float | Array:
    """Return the deviation by which targets were divided in training; 1 where they were not.

    Raises ValueError or TypeError where a stranger's metadata have none.
    """
    if target_scaling is None:
        return 1.0
    unit = target_scaling["deviation"]
    if isinstance(unit, list) and unit and all(isinstance(u, float) and u > 0 for u in unit):
        return np.array(unit)
    if not isinstance(unit, float) or not 0 < unit < float("inf"):
        raise ValueError("a deviation must be a positive number")
    return unit


def _targets(ragged: Ragged, info: TaskInfo) -> Array | None:
    """Return the targets that the data has: classes as the model numbers them, or numbers."""
    y, place = ragged.y, ragged.places.whole("y")
    if y is None:
        return None
    if info.kind in ("classification", "tagging"):
        if y.dtype.kind in "iubUS":
            return encode_as(y, info.labels, info.outputs, place)
        rule = f"y must be one of the classes, text or whole numbers, not {y.dtype}"
        raise InputError.of(place, rule, "name the classes as in training, or leave y out")
    if y.dtype.kind not in "fiub" or not bool(np.isfinite(y).all()):
        raise InputError.of(place, "y must hold finite numbers", "leave y out")
    if info.outputs > 1 and of_several(info.kind) and y.ndim == 1:
        rule = f"y must be [n, {info.outputs}], all that the model predicts, not {list(y.shape)}"
        raise InputError.of(place, rule, "leave y out, or give all of them")
    if info.kind == "multi-label" and not bool(np.isin(y, (0, 1)).all()):
        rule = "each label must be 0 or 1"
        raise InputError.of(place, rule, "write 1 where a label holds, otherwise 0")
    return y


def _batches(
    sequences: Sequences, info: TaskInfo, config: TrialConfig
) -> Iterator[tuple[NDArray[np.int64], Array, NDArray[np.int64]]]:
    """Yield positions, padded x [B, T, …] and lengths [B]; sequences of like lengths together."""
    order = np.argsort(-sequences.lengths, kind="stable")
    heads = config.heads if config.cell == "transformer" else 0
    width = max(info.inputs, info.outputs, config.hidden_size * 4)
    start = 0
    while start < len(order):
        longest = int(sequences.lengths[order[start]])
        size = max(1, BATCH_NUMBERS // (longest * (width + heads * longest)))
        chosen = order[start : start + size]
        lengths = sequences.lengths[chosen]
        at_BT = sequences.starts[chosen, None] + np.minimum(
            np.arange(longest), lengths[:, None] - 1
        )
        yield chosen, sequences.x[at_BT], lengths  # padded with each sequence's last step
        start += size


def _arrays(info: TaskInfo, outputs: Array) -> dict[str, Array]:
    names = np.arange(info.outputs) if info.labels is None else np.array(info.labels)
    match info.kind:
        case "classification" | "tagging":
            return {
                "class": names[outputs.argmax(axis=1)],
                "probabilities": np.exp(_log_softmax(outputs)),
            }
        case "next-token":
            return {
                "symbol": names[outputs.argmax(axis=1)],
                "probabilities": np.exp(_log_softmax(outputs)),
            }
        case "next-step" | "multi-label":
            return {"probabilities": np.exp(-np.logaddexp(0, -outputs))}
        case "regression":
            return {"prediction": outputs[:, 0] if info.outputs == 1 else outputs}
        case "forecasting":
            return _forecasts(info, outputs)


def _forecasts(info: TaskInfo, outputs: Array) -> dict[str, Array]:
    """Return the forecast [n], or [n, horizon], and the other numbers of its distribution."""
    steps, ahead = info.steps_ahead, info.ahead
    found = {"prediction": outputs[:, info.central]}
    for number in range(ahead.numbers):
        found.setdefault(ahead.name(number), outputs[:, number * steps : (number + 1) * steps])
    return {name: each[:, 0] if steps == 1 else each for name, each in found.items()}


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


class _Scores:
    """Loss, hits and targets of each sequence; their sums are the metrics of training."""

    def __init__(self, info: TaskInfo, n: int, unit: float | Array) -> None:
        self._info, self._unit = info, unit
        self._own_unit = unit if isinstance(unit, float) else 1.0
        self._loss, self._hits, self._count = np.zeros(n), np.zeros(n), np.zeros(n)
        self._predicted: tuple[Array, Array] | None = None  #: all outputs and their targets
        self._tags: dict[int, Array] = {}  #: outputs of each step, by sequence

    def add_sequences(self, outputs: Array, y: Array) -> None:
        """Score classification or regression: one target a sequence."""
        self._count[:] = 1
        self._predicted = outputs, y
        if self._info.kind == "regression":
            errors = outputs.astype(np.float64) - y.astype(np.float32).reshape(outputs.shape)
            self._loss[:] = ((errors / self._unit) ** 2).mean(axis=1)
            if outputs.shape[1] > 1:  # of several targets, figures are those of scaled ones
                self._predicted = outputs / self._unit, y / self._unit
            return
        if self._info.kind == "multi-label":
            logits = outputs.astype(np.float64)
            self._loss[:] = (np.logaddexp(0, logits) - y * logits).mean(axis=1)
            self._hits[:] = ((logits > 0) == (y > 0)).all(axis=1)
            return
        log_p = _log_softmax(outputs.astype(np.float64))
        self._loss[:] = -log_p[np.arange(len(y)), y.astype(np.int64)]
        self._hits[:] = outputs.argmax(axis=1) == y

    def add_tags(
        self, chosen: NDArray[np.int64], outputs: Array, lengths: NDArray[np.int64]
    ) -> None:
        """Keep the outputs of each step of the chosen sequences."""
        for place, sequence in enumerate(chosen):
            self._tags[int(sequence)] = outputs[place, : lengths[place]]

    def tags(self, sequences: Sequences) -> Array:
        """Return the outputs of all steps, one sequence after the other."""
        return np.concatenate([self._tags[at] for at in range(len(sequences))])

    def score_tags(self, sequences: Sequences, y: Array) -> None:
        """Score tagging: one target for each step."""
        outputs, lengths = self.tags(sequences), sequences.lengths
        log_p, begins = _log_softmax(outputs.astype(np.float64)), np.cumsum(lengths) - lengths
        y = y.astype(np.int64)
        self._count[:] = lengths
        self._loss[:] = np.add.reduceat(-log_p[np.arange(len(y)), y], begins)
        self._hits[:] = np.add.reduceat((outputs.argmax(axis=1) == y).astype(float), begins)
        self._predicted = outputs, y

    def add_steps(
        self,
        chosen: NDArray[np.int64],
        outputs: Array,
        x: Array,
        lengths: NDArray[np.int64],
    ) -> None:
        """Score next-token or next-step: each step but the first is a target."""
        if x.shape[1] < 2:
            return
        targets, logits = x[:, 1:], outputs[:, :-1].astype(np.float64)
        valid_BT = np.arange(targets.shape[1]) < lengths[:, None] - 1
        if self._info.kind == "next-token":
            log_p = _log_softmax(logits)
            loss_BT = -np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
            self._hits[chosen] = ((logits.argmax(axis=-1) == targets) & valid_BT).sum(axis=1)
        else:
            loss_BT = (np.logaddexp(0, logits) - targets * logits).sum(axis=-1)
        self._loss[chosen] = np.where(valid_BT, loss_BT, 0).sum(axis=1)
        self._count[chosen] = valid_BT.sum(axis=1)

    def metrics(self, chosen: NDArray[np.bool_]) -> dict[str, float]:
        """Return all metrics over the chosen sequences; none where they have no targets."""
        count = self._count[chosen].sum()
        if count == 0:
            return {}
        loss, hits = self._loss[chosen].sum(), self._hits[chosen].sum()
        sums = float(loss), float(hits), float(count)
        found = summed_metrics(self._info, *sums, self._own_unit)
        if self._info.by_part and self._predicted is not None:
            name, (outputs, y) = self._info.metric.name, self._predicted
            if self._info.stepwise:
                chosen = np.repeat(chosen, self._count.astype(np.int64))
            found[name] = part_metric(name, outputs[chosen], y[chosen])
        return found
