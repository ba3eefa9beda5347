"""The transformer encoder in plain ONNX operators, with masks for padding and for the future."""

import math

import numpy as np
from torch import nn

from trainables.export.onnx.graph import DOUBLE, FLOAT, Graph
from trainables.export.onnx.steps import Steps
from trainables.layers.transformer import Encoder, EncoderLayer


def add_linear(graph: Graph, name: str, layer: nn.Linear, x: str) -> str:
    """Add a linear map of the last axis and return its outputs."""
    weight = graph.constant(layer.weight.detach().cpu().numpy().T, f"{name}/weight")
    bias = graph.constant(layer.bias.detach().cpu().numpy(), f"{name}/bias")
    return graph.add("Add", graph.add("MatMul", x, weight, name=f"{name}/product"), bias, name=name)


def add_encoder(graph: Graph, encoder: Encoder, x_TBI: str, steps: Steps) -> str:
    """Add the whole encoder and return its outputs y_TBd."""
    projected_TBd = add_linear(graph, "encoder/project", encoder.project, x_TBI)
    x_TBd = graph.add(
        "Add", projected_TBd, _positions(graph, encoder.width, steps), name="encoder/input"
    )
    hidden = _hidden(graph, encoder.causal, steps)
    for at, layer in enumerate(encoder.layers):
        assert isinstance(layer, EncoderLayer)
        x_TBd = _layer(graph, f"layer{at}", layer, x_TBd, hidden)
    return _norm(graph, "encoder/norm", encoder.norm, x_TBd)


def _positions(graph: Graph, width: int, steps: Steps) -> str:
    """Add sinusoidal positions [T, 1, d] for any T.

    Column d is sin(step * rate + phase), a cosine where the phase is a quarter turn. The angle is
    made in float64 and brought into one turn there: in float32 it would be off by more than the
    tolerance after some hundred steps.
    """
    columns = np.arange(width)
    rate_d = np.exp((columns - columns % 2) * (-math.log(10_000) / width))
    phase_d = columns % 2 * (math.pi / 2)
    step_T = graph.add("Cast", steps.numbers, name="positions/step", to=DOUBLE)
    step_T11 = graph.add("Unsqueeze", step_T, graph.ints(1, 2), name="positions/column")
    rate = graph.constant(rate_d, "positions/rate")
    phase = graph.constant(phase_d, "positions/phase")
    turn = graph.constant(np.array(2 * math.pi), "positions/turn")
    angle = graph.add("Add", graph.add("Mul", step_T11, rate), phase, name="positions/angle")
    within = graph.add("Mod", angle, turn, name="positions/within", fmod=1)
    return graph.add("Sin", graph.add("Cast", within, to=FLOAT), name="positions/table")


def _hidden(graph: Graph, causal: bool, steps: Steps) -> str:
    """Add the mask of what attention must not see: [1, 1, T, T] causal, or [B, 1, 1, T]."""
    if causal:
        query_T1 = graph.add("Unsqueeze", steps.numbers, graph.ints(1), name="mask/query")
        later_TT = graph.add("Greater", steps.numbers, query_T1, name="mask/later")
        return graph.add("Unsqueeze", later_TT, graph.ints(0, 1), name="mask/hidden")
    valid_BT = graph.add("Transpose", steps.valid, name="mask/valid", perm=[1, 0])
    padding_BT = graph.add("Not", valid_BT, name="mask/padding")
    return graph.add("Unsqueeze", padding_BT, graph.ints(1, 2), name="mask/hidden")


def _norm(graph: Graph, name: str, norm: nn.LayerNorm, x: str) -> str:
    gain = graph.constant(norm.weight.detach().cpu().numpy(), f"{name}/gain")
    bias = graph.constant(norm.bias.detach().cpu().numpy(), f"{name}/bias")
    return graph.add("LayerNormalization", x, gain, bias, name=name, axis=-1, epsilon=norm.eps)


def _layer(graph: Graph, prefix: str, layer: EncoderLayer, x_TBd: str, hidden: str) -> str:
    n_TBd = _norm(graph, f"{prefix}/attention_norm", layer.attention_norm, x_TBd)
    attended_TBd = _attention(graph, prefix, layer, n_TBd, hidden)
    x_TBd = graph.add("Add", x_TBd, attended_TBd, name=f"{prefix}/attended")
    fed = _norm(graph, f"{prefix}/feed_norm", layer.feed_norm, x_TBd)
    fed = graph.add("Relu", add_linear(graph, f"{prefix}/widen", layer.widen, fed))
    fed = add_linear(graph, f"{prefix}/narrow", layer.narrow, fed)
    return graph.add("Add", x_TBd, fed, name=f"{prefix}/y")


def _attention(graph: Graph, prefix: str, layer: EncoderLayer, n_TBd: str, hidden: str) -> str:
    width = layer.query.in_features
    size = width // layer.heads
    heads = graph.ints(0, 0, layer.heads, size)  # zeros keep T and B

    def split(name: str, linear: nn.Linear, order: list[int]) -> str:
        flat_TBd = add_linear(graph, f"{prefix}/{name}", linear, n_TBd)
        return graph.add("Transpose", graph.add("Reshape", flat_TBd, heads), perm=order)

    query = split("query", layer.query, [1, 2, 0, 3])  # B, heads, T, size
    key = split("key", layer.key, [1, 2, 3, 0])  # B, heads, size, T
    value = split("value", layer.value, [1, 2, 0, 3])
    scaled = graph.add("Mul", query, graph.scalar(size**-0.5), name=f"{prefix}/scaled")
    scores = graph.add("MatMul", scaled, key, name=f"{prefix}/scores")
    scores = graph.add("Where", hidden, graph.scalar(-math.inf), scores, name=f"{prefix}/masked")
    share = graph.add("Softmax", scores, name=f"{prefix}/share", axis=-1)
    seen = graph.add("MatMul", share, value, name=f"{prefix}/seen")
    seen_TBhs = graph.add("Transpose", seen, perm=[2, 0, 1, 3])
    seen_TBd = graph.add("Reshape", seen_TBhs, graph.ints(0, 0, width))
    return add_linear(graph, f"{prefix}/out", layer.out, seen_TBd)
