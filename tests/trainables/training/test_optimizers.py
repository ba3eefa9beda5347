"""The optimizers' steps are those of torch.optim, bit for bit, and load no compiler."""

import subprocess
import sys

import pytest
import torch

from spaces.config import TrialConfig
from trainables.training import optimizers

THEIRS = {
    "adam": lambda p, rate, decay: torch.optim.Adam(p, lr=rate, weight_decay=decay, fused=True),
    "adamw": lambda p, rate, decay: torch.optim.AdamW(p, lr=rate, weight_decay=decay, fused=True),
    "sgd": lambda p, rate, decay: torch.optim.SGD(p, lr=rate, weight_decay=decay),
    "rmsprop": lambda p, rate, decay: torch.optim.RMSprop(p, lr=rate, weight_decay=decay),
}


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("name", THEIRS)
def test_steps_are_those_of_torch_optim(name: str, decay: float) -> None:
    config = TrialConfig(
        cell="gru",
        gates="standard",
        hidden_size=1,
        depth=1,
        max_epochs=1,
        optimizer=name,
        learning_rate=0.03,
        weight_decay=decay,
    )
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(n, generator=generator) for n in (1, 37, 4096)]
    ours = [torch.nn.Parameter(start.clone()) for start in starts]
    theirs = [torch.nn.Parameter(start.clone()) for start in starts]
    states: list[optimizers.State] = [{} for _ in ours]
    optimizer = THEIRS[name](theirs, 0.03, decay)
    for _ in range(20):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimizers.step(config, list(ours), states)
        optimizer.step()
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)


def test_training_loads_neither_torchs_compiler_nor_its_algebra() -> None:
    script = """
import sys
import numpy as np
from spaces.config import TrialConfig
from spaces.tasks import Adding
from pathlib import Path
from trainables import tasks
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
