"""Layer: the tensors of one cell in one direction, initialised, and run over sequences."""

import math

import torch
from torch import Tensor, nn

from trainables.cells import scan
from trainables.cells.equations import State, cut
from trainables.cells.variant import Variant


def orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal matrix, uniform over all of them."""
    normal = torch.empty(size, size).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    signed: Tensor = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
    return signed


class Layer(nn.Module):
    """One direction of one recurrent layer.

    Input matrices start Xavier uniform, recurrent ones orthogonal, biases zero but for the forget
    gates' (1, after Jozefowicz 2015). All draws come from the generator.
    """

    def __init__(
        self, variant: Variant, inputs: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.variant = variant
        self.inputs, self.hidden = inputs, hidden
        for name, shape in variant.shapes(inputs, hidden).items():
            tensor = torch.zeros(shape)
            if name == "W":
                bound = math.sqrt(6 / (inputs + hidden))
                tensor.uniform_(-bound, bound, generator=generator)
            elif name == "R":
                for block_HH in torch.split(tensor, hidden):
                    identity = variant.recurrent == "identity"
                    start = torch.eye(hidden) if identity else orthogonal(hidden, generator)
                    block_HH.copy_(start)
            elif name == "b":
                for block, value in variant.bias.items():
                    cut(tensor, variant.b, block).fill_(value)
            elif variant.vectors[name] == "uniform":
                tensor.uniform_(0, 1, generator=generator)
            else:
                tensor.fill_(float(variant.vectors[name]))
            self.register_parameter(name, nn.Parameter(tensor))

    def initial_state(self, x_TBI: Tensor) -> State:
        """Return the state before the first step, by the names of its fields."""
        return scan.initial_state(self.variant, x_TBI, self.hidden)

    def step(self, x_BI: Tensor, state: State) -> State:
        """Return the state after one more step; its first field is the output."""
        return scan.step(self.variant, dict(self.named_parameters()), x_BI, state)

    def forward(self, x_TBI: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the outputs y_TBH; what stands beyond a sequence's length means nothing."""
        return scan.scan(self.variant, dict(self.named_parameters()), x_TBI, lengths_B, self.hidden)
