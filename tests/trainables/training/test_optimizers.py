"""The optimizers' steps are those of torch.optim, bit for bit, and load no compiler."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from spaces.config import TrialConfig
from trainables.training import optimizers

THEIRS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
FUSED = ("adam", "adamw")


def assert_steps_agree(name: str, decay: float, *, fused: bool = False, **tolerance: float) -> None:
    """Compare twenty steps on three vectors with torch.optim's; to the bit without a tolerance."""
    config = TrialConfig(
        cell="gru",
        gates="reset-after",
        hidden_size=1,
        depth=1,
        max_epochs=1,
        optimizer=name,
        learning_rate=0.03,
        weight_decay=decay,
    )
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(n, generator=generator) for n in (1, 37, 4096)]
    ours = [start.clone() for start in starts]
    theirs = [torch.nn.Parameter(start.clone()) for start in starts]
    states: list[optimizers.State] = [{} for _ in ours]
    settings: dict[str, Any] = {"lr": 0.03, "weight_decay": decay}
    settings |= {"fused": True} if fused else {"foreach": False}
    optimizer = THEIRS[name](theirs, **settings)
    for _ in range(20):
        gradients = [torch.randn(start.shape, generator=generator) for start in starts]
        for other, gradient in zip(theirs, gradients, strict=True):
            other.grad = gradient.clone()
        optimizers.step(config, config.learning_rate, ours, gradients, states)
        optimizer.step()
        for mine, other in zip(ours, theirs, strict=True):
            if tolerance:
                torch.testing.assert_close(mine, other.detach(), **tolerance)
            else:
                assert torch.equal(mine, other)
    assert not any(torch.equal(mine, start) for mine, start in zip(ours, starts, strict=True))


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("name", THEIRS)
def test_steps_are_those_of_torch_optim(name: str, decay: float) -> None:
    assert_steps_agree(name, decay, fused=name in FUSED)


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("name", FUSED)
def test_steps_without_the_fused_kernel_agree_within_rounding(
    name: str, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(torch, f"_fused_{name}_")
    assert_steps_agree(name, decay, rtol=1e-5, atol=1e-6)


def test_training_loads_neither_torchs_compiler_nor_its_algebra() -> None:
    script = """
import sys
import numpy as np
from spaces.config import TrialConfig
from spaces.tasks import Adding
from pathlib import Path
from trainables.data import tasks
from trainables.training.trainer import Training
data = tasks.load(Adding(name="adding", length=5, examples=40), Path())
config = TrialConfig(
    cell="gru", gates="reset-after", hidden_size=3, depth=1, max_epochs=1, learning_rate=0.01
)
Training(config, data, seed=0).advance(1)
print({"torch._dynamo", "sympy"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
