"""Model: the network that a TrialConfig describes, from a batch of sequences to outputs.

Shapes are suffixes: T steps, B sequences, I inputs, H units, D directions times units, O outputs.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spaces.config import TrialConfig
from spaces.inputs import NOTHING, Told
from spaces.tasks import TaskInfo
from trainables import cells
from trainables.cells.equations import State
from trainables.cells.noise import NONE, Noise
from trainables.layers.forecast_head import as_forecast, as_relative
from trainables.layers.layer import Layer, Start
from trainables.layers.told import InputDecay, read_by, together, with_gap
from trainables.layers.transformer import Encoder, linear


def reverse(x_TBI: Tensor, lengths_B: Tensor) -> Tensor:
    """Return each sequence backwards, by its own length; the padding stays at the end."""
    steps_T1 = torch.arange(x_TBI.shape[0], device=x_TBI.device).unsqueeze(1)
    from_TB = torch.where(steps_T1 < lengths_B, lengths_B - 1 - steps_T1, steps_T1)
    return x_TBI.gather(0, from_TB.unsqueeze(-1).expand_as(x_TBI))


def join_ends(last_BD: Tensor, first_BD: Tensor) -> Tensor:
    """Return what both directions have read last: one at the last steps, one at the first ones."""
    half = last_BD.shape[-1] // 2
    return torch.cat([last_BD[:, :half], first_BD[:, half:]], dim=-1)


class Recurrent(nn.Module):
    """One recurrent layer in one direction or two.

    layer.forwards reads from the first step on; layer.backwards, if there is one, from each
    sequence's last step. The outputs of both for the same step are joined.
    """

    def __init__(
        self,
        variant: cells.Variant,
        inputs: int,
        hidden: int,
        bidirectional: bool,
        generator: torch.Generator,
        start: Start,
        zoneout: float,
        told: Told,
    ) -> None:
        super().__init__()

        def layer() -> Layer:
            return Layer(variant, inputs, hidden, generator, start, zoneout, told)

        self.forwards = layer()
        self.backwards = layer() if bidirectional else None

    def forward(self, x_TBI: Tensor, lengths_B: Tensor, noise: Noise = NONE) -> Tensor:
        """Return y_TBD."""
        y_TBH: Tensor = self.forwards(x_TBI, lengths_B, noise)
        if self.backwards is None:
            return y_TBH
        y_back_TBH = self.backwards(reverse(x_TBI, lengths_B), lengths_B, noise)
        return torch.cat([y_TBH, reverse(y_back_TBH, lengths_B)], dim=-1)


class Model(nn.Module):
    """Layers of one cell, or a transformer encoder, and a linear readout.

    Square cells, which need as many inputs as units, get an input projection before the first
    layer. Cells that read gaps get what is told of the inputs in every layer.

    Classification, multi-label and regression read out once a sequence: the forward half of the
    last layer at the last valid step, its backward half at step 0, the last step that it reads.
    Tagging, next-token and next-step read out at every step.

    Weights are drawn from the generator; without one, from a generator with seed 0. longest is the
    number of steps of the longest training sequence, by default of the task's longest sequence.
    """

    def __init__(
        self,
        config: TrialConfig,
        info: TaskInfo,
        generator: torch.Generator | None = None,
        longest: int | None = None,
    ) -> None:
        super().__init__()
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        self.config, self.info = config, info
        hidden, bidirectional = config.hidden_size, config.bidirectional
        width = hidden
        self.encoder: Encoder | None = None
        self.project: nn.Linear | None = None
        self.decay: InputDecay | None = None  #: of missing values
        self.told = NOTHING  #: what every layer reads apart from values
        self.elapses = False  #: whether layers read a time that the data does not tell
        self.layers = nn.ModuleList()
        #: Of each layer, whether its input is added to its output: where both are equally wide.
        self.residual: list[bool] = []
        if config.cell == "transformer":
            bidirectional = False
            self.encoder = Encoder(
                info.inputs, hidden, config.depth, config.heads, info.causal, generator
            )
        else:
            variant = cells.find(config.cell, config.gates)
            inputs = info.inputs
            self.told = read_by(variant, info.sizes[0].told)
            self.elapses = variant.gaps == "elapsed" and not info.gaps
            if variant.gaps == "decay" and self.told.features:
                self.decay = InputDecay(self.told.features, generator)
            if self.told.width:
                inputs = info.sizes[0].values
            if variant.square:
                self.project = linear(inputs, hidden, generator)
                inputs = hidden
            start = Start(config.forget_bias, config.recurrent_init, longest or info.longest)
            for _ in range(config.depth):
                layer = Recurrent(
                    variant,
                    inputs + self.told.width,
                    hidden,
                    bidirectional,
                    generator,
                    start,
                    config.zoneout,
                    self.told,
                )
                self.layers.append(layer)
                width = variant.width(hidden) * (1 + bidirectional)
                self.residual.append(config.residual and inputs == width)
                inputs = width
        self.bidirectional = bidirectional
        self.readout = linear(width, info.outputs, generator)

    @property
    def count(self) -> int:
        """The number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    def path(self, *, carried: bool = False) -> str:
        """Return which path its scans take when it runs alone; see scan.path."""
        if self.encoder is not None:
            return "operators"
        layer = self.layers[0]
        assert isinstance(layer, Recurrent)
        x_TBI = self.readout.weight.new_empty(1, 1, layer.forwards.inputs)
        return layer.forwards.path(x_TBI, carried=carried)

    def encode(self, x: Tensor) -> Tensor:
        """Return the input as numbers: symbols become one-hot vectors."""
        if x.is_floating_point():
            return x
        return functional.one_hot(x, self.info.inputs).to(self.readout.weight.dtype)

    def features(self, x: Tensor, lengths_B: Tensor, noise: Noise = NONE) -> Tensor:
        """Return y_TBD, the last layer's outputs, of x [T, B, I] or integer symbols [T, B]."""
        x = self.encode(x)
        if self.info.ahead.relative:
            x = as_relative(x, lengths_B)
        if self.encoder is not None:
            encoded: Tensor = self.encoder(x, lengths_B, noise.outputs)
            return encoded
        return self._layered(x, lambda at, x_TBI: self.layers[at](x_TBI, lengths_B, noise), noise)

    def _layered(self, x: Tensor, run: Callable[[int, Tensor], Tensor], noise: Noise) -> Tensor:
        """Return what all layers make of encoded x; run(number, x_TBI) is one of them."""
        x, told = self.apart(self.entered(x))
        for at, residual in enumerate(self.residual):
            y_TBD = noise.outputs(run(at, together(x, told)))
            x = x + y_TBD if residual else y_TBD
        return x

    @property
    def enters(self) -> bool:
        """Whether something with weights comes before the first layer."""
        return self.project is not None or self.decay is not None

    def entered(self, x: Tensor) -> Tensor:
        """Return what comes into the first layer, of encoded inputs [..., I]."""
        if self.project is not None:
            projected: Tensor = self.project(x)
            return projected
        if self.decay is not None:
            decayed: Tensor = self.decay(x)
            return decayed
        return x

    def apart(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return values and what is told of them, which every layer reads anew; None: nothing."""
        if self.elapses:
            x = with_gap(x)
        width = self.told.width
        return (x[..., :-width], x[..., -width:]) if width else (x, None)

    def set_means(self, means: NDArray[np.float32]) -> None:
        """Let missing values decay to these means [features] of the training part, as scaled."""
        if self.decay is not None:
            self.decay.mean.copy_(torch.from_numpy(means))

    def initial_states(self, batch: int) -> list[State]:
        """Return each layer's state of so many sequences before their first step."""
        found = []
        for layer in self.layers:
            assert isinstance(layer, Recurrent)
            like = self.readout.weight.detach().new_empty(1, batch, layer.forwards.inputs)
            found.append(layer.forwards.initial_state(like))
        return found

    def carried(
        self, x: Tensor, lengths_B: Tensor, states: Sequence[State], noise: Noise = NONE
    ) -> tuple[Tensor, list[State]]:
        """Return outputs [T, B, O] of sequences that go on, and the states after their last steps.

        states: of each layer before the first step, as initial_states or an earlier call has them;
        they get no gradient. For models that read in one direction and give an output at each step.
        """
        assert self.encoder is None and not self.bidirectional and self.info.stepwise
        after: list[State] = []

        def run(at: int, x_TBI: Tensor) -> Tensor:
            layer = self.layers[at]
            assert isinstance(layer, Recurrent)
            y_TBH, state = layer.forwards.carried(x_TBI, lengths_B, states[at], noise)
            after.append(state)
            return y_TBH

        outputs: Tensor = self.readout(self._layered(self.encode(x), run, noise))
        return outputs, after

    def forward(self, x: Tensor, lengths_B: Tensor, noise: Noise = NONE) -> Tensor:
        """Return outputs [B, O] (classification, regression) or [T, B, O] (one a step).

        x is [T, B, I], or [T, B] for integer symbols, padded at the end; lengths_B [B] int64 on the
        same device. Padding changes no result at a valid step.
        """
        y_TBD = self.features(x, lengths_B, noise)
        if not self.info.stepwise:
            index_B = torch.arange(len(lengths_B), device=lengths_B.device)
            last_BD = y_TBD[lengths_B - 1, index_B]
            y_TBD = join_ends(last_BD, y_TBD[0]) if self.bidirectional else last_BD
        return self.read(y_TBD)

    def read(self, features: Tensor) -> Tensor:
        """Return outputs [..., O] of features [..., D] of the steps that are read."""
        return as_forecast(self.readout(features), self.info.forecast)
