"""Layer: the tensors of one cell in one direction, initialised, and run over sequences."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spaces.hyperparameters import ForgetBias, RecurrentInit
from spaces.inputs import NOTHING, Told
from trainables.cells.equations import State, cut
from trainables.cells.noise import NONE, Noise
from trainables.cells.variant import Variant
from trainables.cells.zoneout import keep, zoned
from trainables.layers import scan
from trainables.layers.told import input_matrix, read_by


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return a random matrix with orthonormal columns, or rows where there are fewer of them."""
    tall = rows >= columns
    normal = torch.empty(max(rows, columns), min(rows, columns)).normal_(generator=generator)
    q, r = torch.linalg.qr(normal)
    q = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0)  # makes the draw uniform
    matrix: Tensor = q if tall else q.T
    return matrix


def xavier(tensor: Tensor, inputs: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Fill a tensor as Glorot & Bengio 2010 do, uniformly, and return it."""
    bound = math.sqrt(6 / (inputs + outputs))
    return tensor.uniform_(-bound, bound, generator=generator)


@dataclass(frozen=True)
class Start:
    """How a layer starts, where its variant leaves a choice; see the fields of TrialConfig."""

    forget_bias: ForgetBias = "default"
    recurrent_init: RecurrentInit = "orthogonal"
    longest: int = 2  #: steps of the longest training sequence, T; a chrono start reads it


#: The initialisation of a configuration that sets nothing.
DEFAULT = Start()


class Layer(nn.Module):
    """One direction of one recurrent layer.

    Input matrices start Xavier uniform, recurrent ones orthogonal, gains one, biases zero but for
    the forget gates' (1, after Jozefowicz 2015), unless `start` says otherwise. All draws come from
    the generator. Raises ValueError if the variant is square and inputs are not as many as units.
    """

    def __init__(
        self,
        variant: Variant,
        inputs: int,
        hidden: int,
        generator: torch.Generator,
        start: Start = DEFAULT,
        zoneout: float = 0.0,
        told: Told = NOTHING,
    ) -> None:
        """Draw the parameters. inputs: all of a step; told: what the last of them tell."""
        super().__init__()
        if variant.square and inputs != hidden:
            raise ValueError(
                f"{variant.name} must have {hidden} inputs, one for each unit, not {inputs}"
            )
        self.variant = variant
        self.inputs, self.hidden, self.zoneout = inputs, hidden, zoneout
        for name, shape in variant.shapes(inputs, hidden, read_by(variant, told)).items():
            self.register_parameter(name, nn.Parameter(self._values(name, shape, generator, start)))
        if variant.norm == "batch":
            width = len(variant.W) * hidden
            self.register_buffer("running_mean", torch.zeros(width))
            self.register_buffer("running_variance", torch.ones(width))

    def _values(
        self, name: str, shape: tuple[int, ...], generator: torch.Generator, start: Start
    ) -> Tensor:
        """Return a parameter's values before training."""
        variant, tensor = self.variant, torch.zeros(shape)
        if name in ("W", "D"):
            return xavier(tensor, shape[1], self.hidden, generator)
        if name == "P":
            return orthogonal(shape[0], shape[1], generator)
        if name == "R":
            for block_HH in torch.split(tensor, self.hidden):
                rows, columns = block_HH.shape
                if variant.recurrent == "identity":
                    block_HH.copy_(torch.eye(rows, columns))
                elif start.recurrent_init == "xavier":
                    xavier(block_HH, columns, rows, generator)
                else:
                    block_HH.copy_(orthogonal(rows, columns, generator))
            return tensor
        if name == "b":
            for block, value in variant.bias.items():
                cut(tensor, variant.b, block).fill_(value)
            if start.forget_bias != "default":
                self._start_gates(tensor, start, generator)
            return tensor
        first = variant.vectors.get(name, 1.0)  # a vector that is not listed is a gain
        if first == "uniform":
            return tensor.uniform_(0, 1, generator=generator)
        return tensor.fill_(float(first))

    def _start_gates(self, b_K: Tensor, start: Start, generator: torch.Generator) -> None:
        """Set the biases of the gates that keep the past (chrono: Tallec & Ollivier 2018)."""
        variant = self.variant
        for block, sign in variant.retain_gates.items():
            bias_H = cut(b_K, variant.b, block)
            if start.forget_bias == "chrono":
                bias_H.uniform_(1, max(start.longest - 1, 1), generator=generator).log_()
                for input_gate in variant.input_gates:
                    cut(b_K, variant.b, input_gate).copy_(-bias_H)
            else:
                bias_H.fill_(1.0 if start.forget_bias == "one" else 0.0)
            bias_H.mul_(sign)

    def input_matrix(self) -> Tensor:
        """Return what multiplies the inputs, [|W| H, inputs] for each step that the cell sees."""
        return input_matrix(self.variant, self._tensors(), self.variant.window * self.inputs)

    def initial_state(self, x_TBI: Tensor) -> State:
        """Return the state before the first step, by the names of its fields."""
        return scan.initial_state(self.variant, x_TBI, self.hidden)

    def step(self, x_BI: Tensor, state: State) -> State:
        """Return the state after one more step; its field variant.output is the output.

        Batch norm and zoneout, where a cell has them, are those of evaluation.
        """
        variant, keep_TBF = self._zoned(x_BI.unsqueeze(0), NONE)
        keep_BF = None if keep_TBF is None else keep_TBF[0]
        return scan.step(variant, self._tensors(), x_BI, state, self.running_statistics(), keep_BF)

    def forward(self, x_TBI: Tensor, lengths_B: Tensor, noise: Noise = NONE) -> Tensor:
        """Return the outputs y_TBH. Values beyond a sequence's length mean nothing."""
        return self.carried(x_TBI, lengths_B, None, noise)[0]

    def carried(
        self, x_TBI: Tensor, lengths_B: Tensor, state: State | None, noise: Noise = NONE
    ) -> tuple[Tensor, State]:
        """Return the outputs, begun with a state, and the state after each sequence's last step.

        state: as initial_state has it; it gets no gradient. None begins anew and returns none.
        """
        parameters = self._tensors()
        if "R" in parameters:
            parameters["R"] = noise.weights(parameters["R"])
        variant, keep_TBF = self._zoned(x_TBI, noise)
        return scan.carried_scan(
            variant,
            parameters,
            x_TBI,
            lengths_B,
            self.hidden,
            state,
            self.running_statistics(),
            self.training,
            keep_TBF,
        )

    def path(self, x_TBI: Tensor, *, carried: bool = False) -> str:
        """Return which path `forward` takes for such inputs, or `carried` with a state."""
        variant = zoned(self.variant) if self.zoneout else self.variant
        return scan.path(variant, x_TBI, self.hidden, carried=carried)

    def _zoned(self, x_TBI: Tensor, noise: Noise) -> tuple[Variant, Tensor | None]:
        """Return the variant that runs, and the factors of zoneout if there is any."""
        if self.zoneout == 0:
            return self.variant, None
        factors = keep(self.variant, self.zoneout, noise.updates, x_TBI, self.hidden)
        return zoned(self.variant), factors

    def _tensors(self) -> dict[str, Tensor]:
        return {name: p for name, p in self._parameters.items() if p is not None}

    def running_statistics(self) -> tuple[Tensor, Tensor] | None:
        """Return the running mean and variance [K] of Wx, for cells with batch norm."""
        if self.variant.norm != "batch":
            return None
        return self.get_buffer("running_mean"), self.get_buffer("running_variance")
