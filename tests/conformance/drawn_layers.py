"""Layers of any variant, and batches for them, whose every number is drawn."""

import torch
from torch import Tensor

from spaces.inputs import Told
from trainables.cells import Variant
from trainables.cells.equations import cut
from trainables.layers.layer import Layer

HIDDEN = 4
#: What layers are told that read it apart: of two features whether and when, and the step's gap.
TOLD = Told(2, gap=True)
#: In no order, as batches come.
LENGTHS = torch.tensor([4, 7, 1])


def inputs(variant: Variant) -> int:
    if variant.gaps != "none":
        return 2 + TOLD.width
    return HIDDEN if variant.square else 3


def layer_of(variant: Variant, dtype: torch.dtype = torch.float64) -> Layer:
    """Return a layer whose every parameter, peepholes and gains too, is off its start."""
    draw = torch.Generator().manual_seed(4)
    layer = Layer(variant, inputs(variant), HIDDEN, draw, told=TOLD)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
        if variant.gaps == "decay":  # one that is held at 0 has no gradient
            cut(layer.get_parameter("b"), variant.b, "d").add_(1)
        for name, buffer in layer.named_buffers():
            noise = torch.rand(buffer.shape, generator=draw)
            buffer.add_(noise if name == "running_variance" else noise - 0.5)
    return layer.to(dtype).eval()


def batch(variant: Variant, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return x_TBI of the sequences of LENGTHS. What stands beyond their ends is drawn as well."""
    draw = torch.Generator().manual_seed(4)
    shape = (int(LENGTHS.max()), len(LENGTHS), inputs(variant))
    x_TBI = torch.randn(shape, generator=draw).to(dtype)
    if variant.gaps == "elapsed":  # no time passes backwards
        x_TBI[..., -1].abs_()
    return x_TBI


def valid_steps() -> Tensor:
    """Return which steps [T, B, 1] of a batch are not padding."""
    return (torch.arange(int(LENGTHS.max()))[:, None] < LENGTHS)[..., None]


def last_state(layer: Layer, x_TBI: Tensor) -> dict[str, Tensor]:
    """Return the state [B, …] after each sequence's last valid step, by the names of its fields."""
    ends = []
    for b, length in enumerate(LENGTHS.tolist()):
        state = layer.initial_state(x_TBI[:, b : b + 1])
        for x_BI in x_TBI[:length, b : b + 1]:
            state = layer.step(x_BI, state)
        ends.append(state)
    return {name: torch.cat([end[name] for end in ends]) for name in layer.variant.state}
