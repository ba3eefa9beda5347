"""Every cell leaves as an ONNX graph that gives torch's outputs, on ragged input of any size."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from spaces.cells import CELLS
from spaces.config import TrialConfig
from spaces.kinds import METRICS, TaskKind
from spaces.tasks import TaskInfo
from trainables import cells
from trainables.data.batches import Batch
from trainables.export.onnx import OUTPUTS, TOLERANCE, compare, convert
from trainables.export.onnx.operators import OPERATORS
from trainables.layers.model import Model

Name = tuple[str, str]
#: Everything that can be trained, by family and gates.
NAMES = tuple(dict.fromkeys([*((cell.family, cell.gates) for cell in CELLS), *cells.VARIANTS]))

FEATURES, LABELS, LONGEST = 3, 4, 11
HIDDEN = 4  # as many as labels, so that residual connections start in the first layer there
KINDS: tuple[TaskKind, ...] = ("classification", "regression", "next-token", "next-step")


def info_of(kind: TaskKind) -> TaskInfo:
    inputs = LABELS if kind in ("next-token", "next-step") else FEATURES
    outputs = 1 if kind == "regression" else LABELS
    return TaskInfo("tiny", kind, inputs, outputs, LONGEST, METRICS[kind][0])


def batch_of(info: TaskInfo, lengths: list[int], seed: int = 0) -> Batch:
    draw = np.random.default_rng(seed)
    steps = (max(lengths), len(lengths))
    if info.kind == "next-token":
        x: np.ndarray[Any, Any] = draw.integers(info.inputs, size=steps)
    else:
        x = draw.normal(size=(*steps, info.inputs)).astype(np.float32)
    return Batch(torch.from_numpy(x), torch.tensor(lengths), torch.zeros(len(lengths)))


def model_of(name: Name, info: TaskInfo, seed: int = 1, **choices: Any) -> Model:
    """Return a model with every parameter drawn at random, biases and gains included."""
    config = TrialConfig(
        cell=name[0],
        gates=name[1],
        heads=2,
        learning_rate=0.1,
        max_epochs=1,
        **{"depth": 1, "hidden_size": HIDDEN, **choices},
    )
    generator = torch.Generator().manual_seed(seed)
    model = Model(config, info, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.1, generator=generator))
        for buffer in model.buffers():  # running statistics, as if training had moved them
            buffer.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def session_of(proto: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES, ids="-".join)
def test_the_graph_gives_torch_s_outputs(name: Name, kind: TaskKind) -> None:
    info = info_of(kind)
    batches = [batch_of(info, [11, 7, 4, 1]), batch_of(info, [5], seed=1), batch_of(info, [1, 1])]
    directions = (False,) if info.causal else (False, True)
    for depth, both, residual in itertools.product((1, 2), directions, (False, True)):
        if both and depth > 1 and name in cells.VARIANTS and cells.VARIANTS[name].square:
            continue  # no such model: the second layer has twice as many inputs as units
        model = model_of(name, info, depth=depth, bidirectional=both, residual=residual)
        comparison = compare(convert(model), model, batches)
        assert comparison.sequences == 7
        assert comparison.passed, (depth, both, residual, comparison)


@pytest.mark.parametrize("name", [name for name in NAMES if name in cells.VARIANTS], ids="-".join)
def test_a_graph_of_a_model_with_zoneout_has_its_expectation(name: Name) -> None:
    info = info_of("classification")
    batch, both = batch_of(info, [11, 7, 4, 1]), not cells.VARIANTS[name].square
    model = model_of(name, info, depth=2, bidirectional=both, zoneout=0.3)
    graph = convert(model)
    assert compare(graph, model, [batch]).passed
    assert not {node.op_type for node in graph.graph.node} & {"RNN", "GRU", "LSTM"}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("name", OPERATORS, ids="-".join)
def test_an_operator_is_the_loop_over_the_cell_s_equations(
    name: Name, both: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = info_of("classification")
    model = model_of(name, info, depth=2, bidirectional=both)
    operator = convert(model)
    monkeypatch.delitem(OPERATORS, name)
    loop = convert(model)
    assert {node.op_type for node in operator.graph.node} & {"RNN", "GRU", "LSTM"}
    assert not {node.op_type for node in loop.graph.node} & {"RNN", "GRU", "LSTM"}
    batch = batch_of(info, [11, 6, 2])
    assert compare(loop, model, [batch]).passed
    feeds = {"x": batch.x.numpy().swapaxes(0, 1), "lengths": batch.lengths.numpy()}
    (first,), (second,) = (session_of(proto).run(None, feeds) for proto in (operator, loop))
    np.testing.assert_allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE)


def test_every_cell_of_the_catalogue_is_exported() -> None:
    assert {(cell.family, cell.gates) for cell in CELLS} <= set(NAMES)
    assert set(OPERATORS) <= set(cells.VARIANTS)


@pytest.mark.parametrize("name", NAMES, ids="-".join)
def test_time_and_batch_are_free(name: Name) -> None:
    info = info_of("next-step")
    model = model_of(name, info)
    batches = [batch_of(info, [steps] * size) for steps, size in ((1, 1), (90, 2), (20, 50))]
    proto = convert(model)
    assert compare(proto, model, batches).passed
    shape = proto.graph.input[0].type.tensor_type.shape
    assert [d.dim_param or d.dim_value for d in shape.dim] == ["batch", "time", LABELS]


def test_positions_of_a_transformer_hold_for_thousands_of_steps() -> None:
    info = info_of("regression")
    model = model_of(("transformer", "encoder"), info)
    assert compare(convert(model), model, [batch_of(info, [4000])]).error <= TOLERANCE


@pytest.mark.parametrize("name", NAMES, ids="-".join)
def test_a_sequence_s_output_does_not_depend_on_its_batch(name: Name) -> None:
    info = info_of("classification")
    model = model_of(name, info, bidirectional=True)
    session = session_of(convert(model))
    batch = batch_of(info, [9, 5, 2])
    x, lengths = batch.x.numpy().swapaxes(0, 1), batch.lengths.numpy()
    (together,) = session.run(None, {"x": x, "lengths": lengths})
    for at, length in enumerate(lengths):
        alone = {"x": x[at : at + 1, :length], "lengths": lengths[at : at + 1]}
        np.testing.assert_allclose(session.run(None, alone)[0][0], together[at], atol=TOLERANCE)


def test_the_graph_scales_raw_features_as_the_task_did() -> None:
    info = info_of("classification")
    model = model_of(("rnn", "tanh"), info)
    mean = np.array([5, -2, 0.5], np.float32)
    deviation = np.array([0.1, 30, 1], np.float32)
    proto = convert(model, scaling=(mean, deviation))
    batch = batch_of(info, [8, 3])
    assert compare(proto, model, [batch], scaling=(mean, deviation)).passed
    raw = batch.x.numpy().swapaxes(0, 1) * deviation + mean
    feeds = {"x": raw, "lengths": batch.lengths.numpy()}
    with torch.inference_mode():
        expected = model(batch.x, batch.lengths).numpy()
    np.testing.assert_allclose(session_of(proto).run(None, feeds)[0], expected, atol=1e-4)


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_another_model_s_graph_does_not_pass(value: float) -> None:
    info = info_of("classification")
    model = model_of(("rnn", "tanh"), info)
    proto = convert(model)
    batches = [batch_of(info, [6, 2]), batch_of(info, [3])]
    assert compare(proto, model, batches).passed
    with torch.no_grad():
        model.readout.bias[0] = value
    assert not compare(proto, model, batches).passed


def test_metadata_and_names_are_kept_in_the_file() -> None:
    for kind in KINDS:
        proto = convert(
            model_of(("rnn", "tanh"), info_of(kind)), metadata={"format": 1, "name": "größe"}
        )
        (prop,) = proto.metadata_props
        assert (prop.key, prop.value) == (
            "gatesearch",
            '{"format": 1, "name": "gr\\u00f6\\u00dfe"}',
        )
        assert [value.name for value in proto.graph.input] == ["x", "lengths"]
        assert [value.name for value in proto.graph.output] == [OUTPUTS[kind]]


@pytest.mark.parametrize("name", NAMES, ids="-".join)
def test_no_node_is_without_use(name: Name) -> None:
    graph = convert(model_of(name, info_of("classification"))).graph
    read = {name for node in graph.node for name in node.input} | {graph.output[0].name}
    assert all(read & set(node.output) for node in graph.node)


def test_models_of_one_process_do_not_share_anything() -> None:
    info = info_of("classification")
    models = [model_of(("lstm", "standard"), replace(info, longest=n), seed=n) for n in range(3)]
    protos = [convert(model) for model in models]
    for model, proto in zip(models, protos, strict=True):
        assert compare(proto, model, [batch_of(info, [12, 2])]).passed
