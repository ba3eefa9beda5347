"""What cells make of what they are told of their inputs: which are there, and how long ago.

A layer's inputs are values, then what is told (spaces/inputs.py: Told). Of a cell that reads gaps
the last block of W is one of times, in columns of its own; other blocks read what comes before:

    decay (GRU-D)   | W of values and masks | 0 |     elapsed (CfC)   | W of all but the gap | 0 |
                    | 0                     | D |                     | 0                    | 1 |

So that all scans run one matrix, it is put together of the parameters W and D.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from spaces.inputs import NOTHING, Told
from trainables.cells.variant import Variant


def input_matrix(variant: Variant, parameters: Mapping[str, Tensor], inputs: int) -> Tensor:
    """Return what multiplies the inputs of a step, [|W| H, inputs], or [S, …] of several layers."""
    W = parameters["W"]
    if variant.gaps == "none":
        return W
    read, hidden = W.shape[-1], W.shape[-2] // (len(variant.W) - 1)
    if "D" in parameters:
        times = parameters["D"]
    else:
        times = W.new_ones(*W.shape[:-2], hidden, int(variant.gaps == "elapsed"))
    rest = inputs - read - times.shape[-1]
    parts = functional.pad(W, (0, inputs - read)), functional.pad(times, (read, rest))
    return torch.cat(parts, dim=-2)


class InputDecay(nn.Module):
    """Values that move from the last one observed to the training part's mean (Che et al. 2018).

        x̂ = m⊙x + (1 − m)⊙(g⊙x + (1 − g)⊙x̄),  g = exp(−relu(w⊙δ + b))

    Where a value is missing (m = 0), x is the last one observed. The mean x̄ is fitted with the
    scales of the data and is set by whoever trains. w starts uniform in (0, 1): a decay that starts
    negative would never get a gradient.
    """

    mean: Tensor

    def __init__(self, features: int, generator: torch.Generator) -> None:
        super().__init__()
        self.features = features
        self.w = nn.Parameter(torch.empty(features).uniform_(0, 1, generator=generator))
        self.b = nn.Parameter(torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return x [..., I], its values decayed where they are missing."""
        return decayed(x, self.w, self.b, self.mean)


def decayed(x: Tensor, w: Tensor, b: Tensor, mean: Tensor) -> Tensor:
    """Return inputs whose missing values have decayed; see InputDecay. All are [..., D] but x."""
    features = w.shape[-1]
    sizes = *[features] * 3, x.shape[-1] - 3 * features
    values, there, since, gap = x.split_with_sizes(sizes, dim=-1)
    g = torch.exp(-torch.relu(w * since + b))
    past = g * values + (1 - g) * mean
    return torch.cat([there * values + (1 - there) * past, there, since, gap], dim=-1)


def read_by(variant: Variant, told: Told) -> Told:
    """Return what layers of a cell read apart from values; a time that passes is 1 by default."""
    if variant.gaps == "none":  # what is told is an input as any other
        return NOTHING
    return Told(told.features, True) if variant.gaps == "elapsed" else told


def with_gap(x: Tensor) -> Tensor:
    """Return inputs with the time since the step before, 1, as the last one."""
    return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], dim=-1)


def together(x: Tensor, told: Tensor | None) -> Tensor:
    """Return the inputs of a layer: values, and what is told of the model's inputs, if anything."""
    return x if told is None else torch.cat([x, told], dim=-1)
