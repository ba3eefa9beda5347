"""A cohort's step moves each model as training.optimizers moves it alone."""

from dataclasses import dataclass
from typing import get_args

import torch
from interpreted import needs_interpreter
from small_trainings import small_config
from torch import Tensor

from spaces.config import TrialConfig
from spaces.hyperparameters import Optimizer
from trainables.engine.gpu import optimizer
from trainables.training import optimizers
from trainables.training.stacked_step import Settings
from trainables.training.step import update

pytestmark = needs_interpreter

#: More than a block of the kernel, and not a multiple of it.
COUNT = 1500


@dataclass
class Alone:
    """What training.step needs of a model."""

    config: TrialConfig
    weights: Tensor
    gradient: Tensor
    optimizer_state: optimizers.State
    device: str = "cpu"

    @property
    def rate(self) -> float:
        """The learning rate of the epoch."""
        return self.config.learning_rate


class Stacked:
    """The same models' weights and states in one memory."""

    def __init__(self, models: list[Alone]) -> None:
        self.weights = torch.stack([model.weights for model in models])
        self.means, self.squares = (torch.zeros_like(self.weights) for _ in range(2))
        self.steps = torch.zeros(len(models))
        self.settings = Settings.of(models)  # type: ignore[arg-type]

    def step(self, gradients: Tensor, moves: Tensor) -> None:
        settings, factors = self.settings, self.settings.clips / gradients.norm(dim=1)
        self.steps += moves
        optimizer.update(
            self.weights, gradients, self.means, self.squares,
            settings.rules, settings.rates, settings.decays, factors.clamp(max=1.0),
            self.steps, moves.to(torch.int32),
            betas=optimizers.BETAS, alpha=optimizers.ALPHA, epsilon=optimizers.EPSILON,
        )  # fmt: skip


#: One model each, all in one launch.
MODELS = [
    {"optimizer": rule, "weight_decay": decay, "gradient_clip": clip, "learning_rate": rate}
    for rule in get_args(Optimizer)
    for decay, clip, rate in [(0.0, None, 0.01), (0.1, 1.0, 0.03), (0.02, 1e6, 0.002)]
]


def models() -> list[Alone]:
    draw = torch.Generator().manual_seed(0)
    weights = [torch.randn(COUNT, generator=draw) for _ in MODELS]
    return [
        Alone(small_config(**changes), start, torch.zeros(COUNT), {})
        for changes, start in zip(MODELS, weights, strict=True)
    ]


def test_every_model_of_a_launch_moves_by_its_own_rule_and_settings() -> None:
    alone = models()
    stacked, starts = Stacked(alone), [model.weights.clone() for model in alone]
    draw = torch.Generator().manual_seed(1)
    for _ in range(4):
        gradients = torch.randn(len(alone), COUNT, generator=draw)
        stacked.step(gradients, torch.ones(len(alone)))
        for model, gradient in zip(alone, gradients, strict=True):
            model.gradient.copy_(gradient)
        update(alone, [torch.zeros(())] * len(alone))
        for mine, model in zip(stacked.weights, alone, strict=True):
            torch.testing.assert_close(mine, model.weights, rtol=1e-5, atol=1e-6)
    assert not any(torch.equal(a, b) for a, b in zip(starts, stacked.weights, strict=True))


def test_a_model_that_does_not_move_keeps_every_bit() -> None:
    alone = models()
    stacked, moves = Stacked(alone), torch.arange(len(alone)) % 2
    stacked.step(torch.ones(len(alone), COUNT), torch.ones(len(alone)))
    before = [part.clone() for part in (stacked.weights, stacked.means, stacked.squares)]
    gradients = torch.ones(len(alone), COUNT)
    gradients[0] = torch.nan  # as that of a model that has diverged
    stacked.step(gradients, moves)
    for old, new in zip(before, (stacked.weights, stacked.means, stacked.squares), strict=True):
        for model, moved in enumerate(moves.tolist()):
            assert moved or torch.equal(old[model], new[model])
    assert torch.isfinite(stacked.weights).all()
