"""Models in one launch compute what each computes alone, with the same masks in the same places."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from interpreted import needs_interpreter
from small_trainings import small_config
from torch import Tensor

from spaces.kinds import METRICS, TaskKind
from spaces.tasks import TaskInfo
from trainables.cells.noise import NONE, Dropout, Noise
from trainables.engine.gpu.noise import StackedDropout
from trainables.layers.model import Model
from trainables.layers.stacked_model import StackedModel, StackedNoise

pytestmark = needs_interpreter

LENGTHS = torch.tensor([[4, 2, 1], [3, 4, 4]])
MODELS, STEPS, BATCH = 2, 4, 3
RATES = {"outputs": [0.4, 0.0], "weights": [0.3, 0.5], "updates": [0.2, 0.2]}

CASES: dict[str, tuple[TaskKind, dict[str, Any]]] = {
    "two layers": ("regression", {"depth": 2}),
    "two layers in both directions": ("classification", {"depth": 2, "bidirectional": True}),
    "symbols": ("next-token", {"cell": "lstm", "gates": "standard", "depth": 2}),
    "residual": ("next-step", {"depth": 2, "residual": True}),
    "square, with an input projection": ("regression", {"gates": "mut1"}),
    "batch norm": ("regression", {"gates": "light"}),
    "zoneout": ("next-step", {"cell": "lstm", "gates": "standard", "zoneout": 0.2}),
    "projected": ("regression", {"cell": "lstm", "gates": "projected"}),
    "no recurrent matrix": ("regression", {"cell": "linear", "gates": "qrnn"}),
}


@dataclass(frozen=True)
class Drawn(Dropout):
    """Dropout on the CPU with the masks that a model of a cohort gets."""

    draw: Callable[[tuple[int, ...]], Tensor] = field(kw_only=True)

    @property
    def active(self) -> bool:
        return True

    def mask(self, value: Tensor) -> Tensor:
        return self.draw(tuple(value.shape))

    def kept(self, shape: tuple[int, ...]) -> Tensor:
        return self.draw(shape) == 0


class Masks:
    """One kind of dropout of all models, and its draws of each model, in their order."""

    def __init__(self, kind: str) -> None:
        rules = [Dropout(rate) for rate in RATES[kind]]
        last = torch.tensor([rule.last for rule in rules], dtype=torch.int32)
        scale = torch.tensor([rule.scale for rule in rules])
        self.stacked = StackedDropout(torch.arange(MODELS) + len(kind), last, scale, True)
        self._passed = kind == "updates"

    def of(self, model: int, batch: Tensor) -> Drawn:
        numbers = iter(range(100))

        def draw(shape: tuple[int, ...]) -> Tensor:
            number = next(numbers)
            return self.stacked.draw(shape, batch, number, passed=self._passed)[model]

        return Drawn(draw=draw)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("kind", "changes"), CASES.values(), ids=CASES)
def test_outputs_and_gradients_are_those_of_each_model(
    kind: TaskKind, changes: dict[str, Any], training: bool
) -> None:
    draw = torch.Generator().manual_seed(2)
    inputs, outputs = (5, 5) if kind == "next-token" else (3, 3 if kind == "next-step" else 2)
    info = TaskInfo("tiny", kind, inputs, outputs, STEPS, METRICS[kind][0])
    config = small_config(**{"depth": 1, **changes})
    models = [Model(config, info, draw).train(training) for _ in range(MODELS)]
    if kind == "next-token":
        x = torch.randint(5, (MODELS, STEPS, BATCH), generator=draw)
    else:
        x = torch.randn(MODELS, STEPS, BATCH, inputs, generator=draw)
    batch, masks = torch.tensor([3]), {name: Masks(name) for name in RATES}

    stacked = StackedModel(models[0])
    weights = torch.stack([torch.nn.utils.parameters_to_vector(m.parameters()) for m in models])
    weights = weights.detach().requires_grad_()
    buffers = {
        name: torch.stack([model.get_buffer(name).clone() for model in models])
        for name in stacked.buffers
    }
    noise = StackedNoise(*(masks[name].stacked for name in RATES), batch)
    found = stacked(weights, buffers, x, LENGTHS, noise if training else None)
    pull = torch.randn(found.shape, generator=draw)
    if info.causal:
        pull *= (torch.arange(STEPS).unsqueeze(1) < LENGTHS.unsqueeze(1)).unsqueeze(-1)
    (gradients,) = torch.autograd.grad((found * pull).sum(), weights)

    for k, model in enumerate(models):
        own = Noise(*(masks[name].of(k, batch) for name in RATES)) if training else NONE
        alone = model(x[k], LENGTHS[k], own)
        (alone * pull[k]).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        shown = pull[k] != 0
        torch.testing.assert_close(found[k][shown], alone[shown], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradients[k], gradient, rtol=1e-4, atol=2e-5)
        for name, buffer in buffers.items():
            torch.testing.assert_close(buffer[k], model.get_buffer(name), rtol=1e-4, atol=1e-5)


def test_a_kind_of_noise_that_a_model_lacks_changes_none_of_its_other_masks() -> None:
    masks, batch = {name: Masks(name).stacked for name in RATES}, torch.tensor([0])
    none = StackedDropout(torch.arange(MODELS), *(torch.zeros(MODELS),) * 2, False)
    both = StackedNoise(masks["outputs"], masks["weights"], masks["updates"], batch)
    one = StackedNoise(masks["outputs"], none, masks["updates"], batch)
    for noise in (both, one):
        noise.begin()
        noise.weights(torch.ones(MODELS, 4, 4), MODELS)
    y = torch.ones(MODELS, STEPS, BATCH, 2)
    assert torch.equal(both.outputs(y), one.outputs(y))
