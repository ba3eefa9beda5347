"""Cells that torch has too are what torch computes: values, last states, gradients, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from drawn_layers import HIDDEN, LENGTHS, batch, last_state, layer_of, valid_steps
from torch import Tensor, nn
from torch.nn.utils import rnn

from trainables import cells
from trainables.cells.noise import Dropout
from trainables.layers import scan
from trainables.layers.layer import Layer
from trainables.layers.transformer import Encoder

#: By name of the variant: torch's layer of so many inputs and units.
LAYERS: dict[str, Callable[[int, int], nn.RNNBase]] = {
    "rnn-tanh": nn.RNN,
    "rnn-relu": lambda inputs, hidden: nn.RNN(inputs, hidden, nonlinearity="relu"),
    "rnn-irnn": lambda inputs, hidden: nn.RNN(inputs, hidden, nonlinearity="relu"),
    "lstm-standard": nn.LSTM,
    "lstm-projected": lambda inputs, hidden: nn.LSTM(inputs, hidden, proj_size=hidden // 2),
    "gru-reset-after": nn.GRU,
}
VARIANTS = {variant.name: variant for variant in cells.VARIANTS.values()}


#: Our tensors' names in torch. Of its two biases the second is zero but for b_hn, its last block.
TENSORS = {
    "W": "weight_ih_l0",
    "R": "weight_hh_l0",
    "b": "bias_ih_l0",
    "P": "weight_hr_l0",
    "b_hn": "bias_hh_l0",
}


def layer_of_torch(layer: Layer) -> nn.RNNBase:
    """Return torch's layer with the same numbers."""
    theirs = LAYERS[layer.variant.name](layer.inputs, HIDDEN).double()
    tensors = {"bias_hh_l0": torch.zeros_like(theirs.bias_hh_l0)}
    for name, mine in layer.state_dict().items():
        before = theirs.get_parameter(TENSORS[name]).shape[0] - len(mine)
        tensors[TENSORS[name]] = torch.cat([mine.new_zeros(before, *mine.shape[1:]), mine])
    theirs.load_state_dict(tensors)
    return theirs


def gradients(y_TBH: Tensor, of: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of a sum of the valid outputs, each with a weight of its own."""
    weight = torch.randn(y_TBH.shape, generator=torch.Generator().manual_seed(1)).double()
    return torch.autograd.grad((torch.where(valid_steps(), y_TBH, 0) * weight).sum(), of)


@pytest.mark.parametrize("name", LAYERS)
def test_a_ragged_batch_is_torch_s_packed_sequence(name: str) -> None:
    layer = layer_of(VARIANTS[name])
    theirs, x_TBI = layer_of_torch(layer), batch(layer.variant).requires_grad_()
    packed, ends = theirs(rnn.pack_padded_sequence(x_TBI, LENGTHS, enforce_sorted=False))
    expected = rnn.pad_packed_sequence(packed)[0]
    found = torch.where(valid_steps(), layer(x_TBI, LENGTHS), 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    states = dict(zip("hc", ends if isinstance(ends, tuple) else (ends,), strict=False))
    state = last_state(layer, x_TBI)
    assert set(state) == set(states)
    for field, value_BH in state.items():
        torch.testing.assert_close(value_BH, states[field][0], rtol=0, atol=1e-12)
    of = dict(layer.named_parameters())
    got = gradients(found, [x_TBI, *of.values()])
    wanted = gradients(expected, [x_TBI, *(theirs.get_parameter(TENSORS[name]) for name in of)])
    for mine, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, other[-len(mine) :], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", scan.KERNELS)
def test_torch_s_kernel_is_the_reference_path(name: str) -> None:
    """The path of processors and devices without the engine."""
    layer = layer_of(VARIANTS[name])
    variant, x_TBI = layer.variant, batch(layer.variant).requires_grad_()
    parameters = dict(layer.named_parameters())
    wanted = [x_TBI, *parameters.values()]
    a_TBK = scan.hoist(variant, parameters, x_TBI)
    expected = scan.reference(variant, parameters, x_TBI, a_TBK, LENGTHS, HIDDEN)
    found = scan.KERNELS[name](parameters, x_TBI)
    valid = valid_steps().expand_as(found)
    torch.testing.assert_close(found[valid], expected[valid], rtol=0, atol=1e-12)
    both = (gradients(found, wanted), gradients(expected, wanted))
    for mine, other in zip(*both, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-11)


def positions(steps: int, width: int) -> Tensor:
    """Vaswani 2017, section 3.5."""
    table = np.zeros((steps, 1, width))
    for step, column in np.ndindex(steps, width):
        angle = step / 10_000 ** ((column - column % 2) / width)
        table[step, 0, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return torch.from_numpy(table)


def encoder_of_torch(mine: Encoder, heads: int) -> nn.TransformerEncoder:
    """Return torch's encoder, normalised first, with the same numbers."""
    width = mine.width
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, norm_first=True)
    layers, norm = len(mine.layers), nn.LayerNorm(width)
    theirs = nn.TransformerEncoder(layer, layers, norm, enable_nested_tensor=False).double()
    tensors: dict[str, Tensor] = {
        f"norm.{part}": value for part, value in mine.norm.state_dict().items()
    }
    for at, own in enumerate(mine.layers):
        value: Any = own.state_dict()
        for part in ("weight", "bias"):
            of = f"layers.{at}."
            in_proj = [value[f"{name}.{part}"] for name in ("query", "key", "value")]
            tensors[f"{of}self_attn.in_proj_{part}"] = torch.cat(in_proj)
            tensors[f"{of}self_attn.out_proj.{part}"] = value[f"out.{part}"]
            tensors[f"{of}linear1.{part}"] = value[f"widen.{part}"]
            tensors[f"{of}linear2.{part}"] = value[f"narrow.{part}"]
            tensors[f"{of}norm1.{part}"] = value[f"attention_norm.{part}"]
            tensors[f"{of}norm2.{part}"] = value[f"feed_norm.{part}"]
    theirs.load_state_dict(tensors)
    return theirs


@pytest.mark.parametrize("causal", [False, True])
def test_the_transformer_is_torch_s_encoder(causal: bool) -> None:
    heads, width, draw = 2, 6, torch.Generator().manual_seed(4)
    mine = Encoder(3, width, 2, heads, causal, draw).double()
    with torch.no_grad():
        for parameter in mine.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    theirs = encoder_of_torch(mine, heads)
    x_TBI = batch(VARIANTS["rnn-tanh"]).requires_grad_()
    steps = len(x_TBI)
    padding_BT = ~valid_steps()[..., 0].T
    hidden_TT = torch.ones(steps, steps, dtype=torch.bool).triu(1) if causal else None
    input_TBd = x_TBI @ mine.project.weight.T + mine.project.bias + positions(steps, width)
    expected = theirs(input_TBd, hidden_TT, padding_BT)
    found = mine(x_TBI, LENGTHS, Dropout())
    valid = valid_steps().expand_as(found)
    torch.testing.assert_close(found[valid], expected[valid], rtol=0, atol=1e-12)
    of = [x_TBI, mine.project.weight]
    for ours, other in zip(gradients(found, of), gradients(expected, of), strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-11)
