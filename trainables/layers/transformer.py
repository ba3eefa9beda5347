"""The transformer encoder, as a baseline (Vaswani 2017; normalisation first, Xiong 2020).

A layer has four d×d projections with biases (4d² + 4d), a feed-forward network of width 4d
(8d² + 5d) and two layer norms (4d): 12d² + 13d parameters.

Shapes are suffixes: T steps, B sequences, I inputs, d the model width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from spaces.errors import InputError
from trainables.cells.noise import Dropout

#: Feed-forward width over model width.
WIDENING = 4


def positions(steps: int, width: int, like: Tensor) -> Tensor:
    """Return sinusoidal positions [T, 1, d]; an odd width's last column is a sine."""
    step_T1 = torch.arange(steps, dtype=torch.float64).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10_000) / width))
    table_Td = torch.zeros(steps, width, dtype=torch.float64)
    table_Td[:, 0::2] = torch.sin(step_T1 * rate)
    table_Td[:, 1::2] = torch.cos(step_T1 * rate[: width // 2])
    return table_Td.unsqueeze(1).to(like)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a linear map, Xavier uniform and with zero bias, drawn from the generator alone."""
    # On the meta device torch's own initialisation draws nothing from the global generator.
    layer = nn.Linear(inputs, outputs, device="meta")
    bound = math.sqrt(6 / (inputs + outputs))
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(torch.zeros(outputs))
    return layer


class EncoderLayer(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, width: int, heads: int, generator: torch.Generator) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = linear(width, width, generator)
        self.key = linear(width, width, generator)
        self.value = linear(width, width, generator)
        self.out = linear(width, width, generator)
        self.feed_norm = nn.LayerNorm(width)
        self.widen = linear(width, WIDENING * width, generator)
        self.narrow = linear(WIDENING * width, width, generator)

    def _split(self, x_TBd: Tensor) -> Tensor:
        steps, batch, width = x_TBd.shape
        heads = x_TBd.view(steps, batch, self.heads, width // self.heads)
        return heads.permute(1, 2, 0, 3)  # B, heads, T, d / heads

    def forward(self, x_TBd: Tensor, visible: Tensor, dropout: Dropout) -> Tensor:
        """Return the output; visible [B or 1, 1, T or 1, T] says what a query attends to."""
        n_TBd = self.attention_norm(x_TBd)
        q, k, v = (self._split(f(n_TBd)) for f in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        x_TBd = x_TBd + dropout(self.out(attended.permute(2, 0, 1, 3).flatten(-2)))
        fed_TBd = self.narrow(functional.relu(self.widen(self.feed_norm(x_TBd))))
        return x_TBd + dropout(fed_TBd)


class Encoder(nn.Module):
    """Input projection, positions, layers, a last layer norm. Causal where the task demands it."""

    def __init__(
        self,
        inputs: int,
        width: int,
        depth: int,
        heads: int,
        causal: bool,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if width % heads:
            raise InputError.of(
                "heads",
                f"a transformer's hidden_size must be a multiple of its heads; {width} / {heads}",
                f"choose a hidden_size that {heads} divides, or other heads",
            )
        self.width, self.causal = width, causal
        self.project = linear(inputs, width, generator)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, generator) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_TBI: Tensor, lengths_B: Tensor, dropout: Dropout) -> Tensor:
        """Return y_TBd. A valid step never attends to padding."""
        steps = x_TBI.shape[0]
        steps_T = torch.arange(steps, device=x_TBI.device)
        if self.causal:  # padding is at the end, later than any valid step
            visible = (steps_T[:, None] >= steps_T)[None, None]
        else:
            visible = (steps_T < lengths_B[:, None])[:, None, None]
        x_TBd = self.project(x_TBI) + positions(steps, self.width, x_TBI)
        for layer in self.layers:
            x_TBd = layer(x_TBd, visible, dropout)
        norm_TBd: Tensor = self.norm(x_TBd)
        return norm_TBd
