"""Converts a trained model to an ONNX graph, and checks that both give the same outputs."""

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from spaces.errors import GatesearchError
from spaces.kinds import TaskKind
from spaces.tasks import TaskInfo
from trainables.data import transforms
from trainables.data.batches import Batch
from trainables.data.missing import features, given, told, transformed
from trainables.data.sequences import TargetScaling
from trainables.data.series import before, summed
from trainables.data.transforms import undone
from trainables.export.onnx.forecast import (
    add_differences,
    add_head,
    add_levels,
    add_relative,
    add_units,
    values,
)
from trainables.export.onnx.graph import FLOAT, INT64, Graph, tensor
from trainables.export.onnx.loop import add_loop
from trainables.export.onnx.missing import add_apart, add_decay, add_told, add_transform
from trainables.export.onnx.operators import OPERATORS, add_operator
from trainables.export.onnx.steps import Steps
from trainables.export.onnx.transformer import add_encoder, add_linear
from trainables.layers.model import Model, Recurrent

#: Largest difference between onnxruntime's outputs and torch's in float64, per unit of the largest
#: output where that is above 1.
TOLERANCE = 1e-5

#: Name of the graph's output by kind of task. Logits are natural logarithms of odds: softmax makes
#: probabilities of them, or the logistic function where labels are independent (next-step).
OUTPUTS: dict[TaskKind, str] = {
    "classification": "logits",
    "multi-label": "logits",
    "tagging": "logits",
    "regression": "prediction",
    "forecasting": "prediction",
    "next-token": "logits",
    "next-step": "logits",
}

Scaling = tuple[NDArray[np.float32], NDArray[np.float32]]


class ExportError(GatesearchError):
    """An exported model gives other outputs than the trained one; it must not be used."""


def convert(
    model: Model,
    *,
    scaling: Scaling | None = None,
    fill: NDArray[np.float32] | None = None,
    targets: TargetScaling | None = None,
    metadata: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    """Return the model as ONNX, for batches of any size and sequences of any length.

    Inputs: x [batch, time, features] float32, or [batch, time] int64 symbols; lengths [batch]
    int64, each from 1 to time. Values behind a sequence's length change no output.
    Output: by OUTPUTS, [batch, outputs] (classification, regression: at each sequence's last valid
    step; forecasting: as spaces.forecast.Forecast orders them, in the units of the data) or
    [batch, time, outputs] (next-token, next-step; outputs on padding mean nothing).

    scaling: mean and deviation [inputs] of the raw data; the graph then takes raw features.
    fill: [inputs] what stands for a missing value (NaN), where the task has them.
    targets: mean and deviation of the raw targets; the graph then gives raw predictions.
    metadata: plain JSON values, stored in the file under the key "gatesearch".
    """
    info = model.info
    symbols = info.kind == "next-token"
    graph = Graph()
    x, lengths, output = graph.name("x"), graph.name("lengths"), graph.name(OUTPUTS[info.kind])
    x_TBI, read_lengths, series_TBI = _input(graph, model, x, lengths, scaling, fill)
    steps = Steps.of(graph, x_TBI, read_lengths)
    if info.ahead.relative:
        x_BTI = graph.add("Transpose", x_TBI, name="input/series", perm=[1, 0, 2])
        last_BI = _at_end(graph, x_BTI, steps, "input/last")
        x_TBI = add_relative(graph, x_TBI, last_BI, info.inputs)
    y_TBD = _features(graph, model, x_TBI, steps)
    y_BTD = graph.add("Transpose", y_TBD, name="readout/features", perm=[1, 0, 2])
    read = y_BTD if info.stepwise else _last(graph, model, y_BTD, steps)
    read = add_linear(graph, "readout", model.readout, read)
    if info.kind == "forecasting":
        read = add_head(graph, read, info)
        levels_BH = add_levels(graph, series_TBI, lengths, info)
        scale = None if targets is None else (float(targets[0]), float(targets[1]))
        add_units(graph, read, levels_BH, info, scale)
    elif targets is not None:
        mean, deviation = (_scale(graph, scale) for scale in targets)
        read = graph.add("Mul", read, deviation, name="output/scaled")
        graph.add("Add", read, mean, name="output/shifted")
    graph.nodes[-1].output[0] = output
    shape: list[int | str] = ["batch", "time"] if info.stepwise else ["batch"]
    return graph.model(
        [
            tensor(x, INT64, ["batch", "time"])
            if symbols
            else tensor(x, FLOAT, ["batch", "time", given(info)]),
            tensor(lengths, INT64, ["batch"]),
        ],
        [tensor(output, FLOAT, [*shape, info.outputs])],
        {"gatesearch": json.dumps(metadata or {}, allow_nan=False)},
    )


def _scale(graph: Graph, scale: float | NDArray[np.float32]) -> str:
    """Return the name of a scale of targets: one number, or one for each."""
    return graph.scalar(scale) if isinstance(scale, float) else graph.constant(scale, "output/each")


def _input(
    graph: Graph,
    model: Model,
    x: str,
    lengths: str,
    scaling: Scaling | None,
    fill: NDArray[np.float32] | None,
) -> tuple[str, str, str]:
    """Return x_TBI: time first, filled and scaled, symbols as one-hot vectors; and its lengths.

    The third is what forecasts are told from, transformed: all features of all steps, time first.
    """
    if model.info.kind == "next-token":
        x_TB = graph.add("Transpose", x, name="input/steps", perm=[1, 0])
        levels = graph.constant(np.array([0, 1], np.float32), "input/levels")
        encoded = graph.add("OneHot", x_TB, graph.ints(model.info.inputs), levels, name="input/x")
        return encoded, lengths, encoded
    x_TBI = graph.add("Transpose", x, name="input/x", perm=[1, 0, 2])
    series_TBI = x_TBI = add_transform(graph, x_TBI, model.info)
    x_TBI = add_told(graph, x_TBI, model.info)
    if (lag := model.info.ahead.difference) is not None:
        x_TBI = add_differences(graph, x_TBI, lag)
        lengths = graph.add("Sub", lengths, graph.index(lag), name="input/differences")
    if fill is not None:
        absent = graph.add("IsNaN", x_TBI, name="input/absent")
        means = graph.constant(fill, "input/means")
        x_TBI = graph.add("Where", absent, means, x_TBI, name="input/filled")
    if scaling is None:
        return x_TBI, lengths, series_TBI
    mean = graph.constant(scaling[0].astype(np.float32), "input/mean")
    deviation = graph.constant(scaling[1].astype(np.float32), "input/deviation")
    centred = graph.add("Sub", x_TBI, mean, name="input/centred")
    return graph.add("Div", centred, deviation, name="input/scaled"), lengths, series_TBI


def _features(graph: Graph, model: Model, x_TBI: str, steps: Steps) -> str:
    if model.encoder is not None:
        return add_encoder(graph, model.encoder, x_TBI, steps)
    if model.project is not None:
        x_TBI = add_linear(graph, "project", model.project, x_TBI)
    if model.decay is not None:
        x_TBI = add_decay(graph, model.decay, x_TBI)
    x_TBI, told = add_apart(graph, model, x_TBI)
    for at, (layer, residual) in enumerate(zip(model.layers, model.residual, strict=True)):
        assert isinstance(layer, Recurrent)
        seen = x_TBI
        if told is not None:
            seen = graph.add("Concat", x_TBI, told, name=f"layer{at}/inputs", axis=-1)
        y_TBD = _recurrent(graph, f"layer{at}", layer, seen, steps)
        if residual:
            y_TBD = graph.add("Add", x_TBI, y_TBD, name=f"layer{at}/residual")
        x_TBI = y_TBD
    return x_TBI


def _recurrent(graph: Graph, prefix: str, layer: Recurrent, x_TBI: str, steps: Steps) -> str:
    directions = [d for d in (layer.forwards, layer.backwards) if d is not None]
    variant = layer.forwards.variant
    row = OPERATORS.get((variant.family, variant.gates))
    if row is not None and layer.forwards.zoneout == 0:
        return add_operator(graph, prefix, row, directions, x_TBI, steps)
    names = ("forwards", "backwards")
    outputs = [
        add_loop(graph, f"{prefix}/{name}", direction, x_TBI, steps, backwards=name == "backwards")
        for name, direction in zip(names, directions, strict=False)
    ]
    if len(outputs) == 1:
        return outputs[0]
    return graph.add("Concat", *outputs, name=f"{prefix}/y", axis=-1)


def _at_end(graph: Graph, y_BTD: str, steps: Steps, name: str) -> str:
    """Return y at each sequence's last valid step [B, D]."""
    last_B = graph.add("Sub", steps.lengths, graph.index(1), name=f"{name}/last")
    last_B1 = graph.add("Unsqueeze", last_B, graph.ints(1), name=f"{name}/index")
    return graph.add("GatherND", y_BTD, last_B1, name=f"{name}/end", batch_dims=1)


def _last(graph: Graph, model: Model, y_BTD: str, steps: Steps) -> str:
    """Return each sequence's features: forwards at its last valid step, backwards at step 0."""
    at_end_BD = _at_end(graph, y_BTD, steps, "readout")
    if not model.bidirectional:
        return at_end_BD
    width = model.readout.in_features
    forwards = graph.cut(at_end_BD, 0, width // 2, name="readout/forwards")
    at_start_BD = graph.add("Gather", y_BTD, graph.index(0), name="readout/start", axis=1)
    backwards = graph.cut(at_start_BD, width // 2, width, name="readout/backwards")
    return graph.add("Concat", forwards, backwards, name="readout/both", axis=-1)


@dataclass(frozen=True)
class Comparison:
    """How far onnxruntime's outputs are from torch's in float64: its own rounding alone.

    Where targets are standardised, outputs are compared as the model gives them in training.
    """

    error: float  #: largest difference
    largest: float  #: largest absolute output of torch
    sequences: int
    rounding: float = 0.0  #: of float32, where outputs are scaled to targets far from 0

    @property
    def passed(self) -> bool:
        """Whether the error is within TOLERANCE and rounding (never, where there is a NaN)."""
        return self.error <= TOLERANCE * max(1.0, self.largest) + self.rounding


def compare(
    proto: onnx.ModelProto,
    model: Model,
    batches: Iterable[Batch],
    scaling: Scaling | None = None,
    fill: NDArray[np.float32] | None = None,
    targets: TargetScaling | None = None,
) -> Comparison:
    """Run both on batches of the task (features scaled as for training) and compare the outputs.

    The ONNX graph gets the features as they were before scaling, and gives predictions of targets
    as they were. Where values may be missing, more of them are. Padding is filled with numbers
    that would change outputs if they were read.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    model = copy.deepcopy(model).double().eval()
    error = largest = level = 0.0
    sequences = 0
    for batch in batches:
        lengths = batch.lengths.numpy()
        scaled = batch.x.numpy().swapaxes(0, 1)
        valid_BT = np.arange(len(batch.x)) < lengths[:, None]
        given = _given(scaled, lengths, model.info, scaling, fill)
        unread = given.shape[1] - scaled.shape[1]  # steps that are there for differences alone
        (ours,) = session.run(None, {"x": given, "lengths": lengths + unread})
        raw, series_BT = _read(given, model.info, fill)
        if scaling is not None:
            raw = ((raw.astype(np.float32) - scaling[0]) / scaling[1]).astype(np.float32)
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(raw.astype(scaled.dtype).swapaxes(0, 1)))
            outputs = model(x.double() if x.is_floating_point() else x, batch.lengths)
        theirs = (outputs.transpose(0, 1) if model.info.stepwise else outputs).numpy()
        if model.info.stepwise:
            ours, theirs = ours[valid_BT], theirs[valid_BT]
        moved: NDArray[np.float32] | float = 1.0
        if model.info.kind == "forecasting":
            info, moved = model.info, values(model.info)
            at_BH = (lengths + unread)[:, None] + before(info.steps_ahead, unread or 1)
            levels_BH = np.take_along_axis(series_BT, at_BH, axis=1).astype(np.float64)
            levels = np.tile(levels_BH, info.ahead.numbers) * moved
            ours = transforms.transformed(ours.astype(np.float64), info.transform) - levels
            least = 0.0 if info.transform is None else 1.0  # of 1 + value, which has a logarithm
            level = max(level, least, float(np.abs(levels).max()))
        if targets is not None:
            ours = (ours.astype(np.float64) - targets[0] * moved) / targets[1]
        difference = float(np.abs(ours - theirs).max())
        error = float(np.maximum(error, difference))  # a NaN stays
        largest = max(largest, float(np.abs(theirs).max()))
        sequences += len(lengths)
    rounding = 0.0
    if targets is not None:
        furthest = np.max((np.abs(targets[0]) + level) / targets[1])
        rounding = float(np.finfo(np.float32).eps * furthest)
    elif level:
        rounding = float(np.finfo(np.float32).eps) * level
    return Comparison(error, largest, sequences, rounding)


def _given(
    scaled: NDArray[Any],
    lengths: NDArray[np.int64],
    info: TaskInfo,
    scaling: Scaling | None,
    fill: NDArray[np.float32] | None,
) -> NDArray[Any]:
    """Return what a graph is given [B, T, …] that a model reads as these, or nearly so."""
    raw = scaled if scaling is None else scaled * scaling[1] + scaling[0]
    if fill is not None:
        raw = _with_gaps(raw, info)
    if info.ahead.difference is not None:
        raw = _as_series(raw, info.ahead.difference)
        lengths = lengths + info.ahead.difference
    if info.transform is not None:
        raw = _each_feature(raw, info, undone)
    filler = 1 if info.kind == "next-token" else 7.0
    valid_BT = np.arange(raw.shape[1]) < lengths[:, None]
    raw = np.where(valid_BT.reshape(valid_BT.shape + (1,) * (raw.ndim - 2)), raw, filler)
    return raw.astype(scaled.dtype)


def _read(
    given: NDArray[Any], info: TaskInfo, fill: NDArray[np.float32] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what the graph makes of what it is given, to the last bit: before it is scaled.

    The second is the first feature before differences are taken, which forecasts are told from.
    """
    raw = given
    if info.transform is not None:
        raw = _each_feature(raw, info, transforms.transformed)
    series = raw[..., 0]
    if (lag := info.ahead.difference) is not None:
        read = series[:, lag:] - series[:, :-lag]
        raw = np.concatenate([read[..., None], raw[:, lag:, 1:]], axis=-1)
    if fill is not None:
        steps_B = np.full(len(raw), raw.shape[1])
        flat = raw.astype(np.float32).reshape(-1, raw.shape[2])
        known, gap = flat[:, : features(info)], flat[:, -1]
        known = told(known, steps_B, info.missing, gap if info.gaps else None)
        raw = np.where(np.isnan(known), fill, known).reshape(*raw.shape[:2], -1)
    return raw, series


def _each_feature(
    raw_BTI: NDArray[Any], info: TaskInfo, change: Callable[[NDArray[Any], Any], NDArray[Any]]
) -> NDArray[Any]:
    """Return what a model is given [B, T, …] with its features transformed, or back."""
    width = transformed(info)
    changed = change(raw_BTI[..., :width], info.transform)
    return np.concatenate([changed, raw_BTI[..., width:]], axis=-1)


def _as_series(differences_BTI: NDArray[Any], lag: int) -> NDArray[Any]:
    """Return what a model is given [B, lag + T, I] whose first feature has these differences."""
    values_BT = summed(differences_BTI[..., 0], lag)
    others = np.pad(differences_BTI[..., 1:], ((0, 0), (lag, 0), (0, 0)))
    return np.concatenate([values_BT[..., None], others], axis=-1)


def _with_gaps(raw_BTI: NDArray[Any], info: TaskInfo) -> NDArray[Any]:
    """Return what a model is given [B, T, …] of inputs, NaN where it was missing and elsewhere."""
    width = features(info)
    known = raw_BTI[..., :width]
    absent = np.arange(known.size).reshape(known.shape) % 7 == 3
    if info.missing == "mask":
        absent |= raw_BTI[..., width : 2 * width] < 0.5
    gap = raw_BTI[..., -1:] if info.gaps else raw_BTI[..., :0]
    return np.concatenate([np.where(absent, np.nan, known), gap], axis=-1)
