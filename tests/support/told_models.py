"""Models of cells that read gaps, and batches with what they are told."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from small_trainings import small_config
from torch import Tensor

from spaces.cells import CELLS
from spaces.kinds import METRICS
from spaces.tasks import TaskInfo
from trainables.layers.model import Model

FEATURES, HIDDEN, STEPS = 3, 5, 7
OF_TIMES = [(cell.family, cell.gates) for cell in CELLS if cell.gaps != "none"]
#: Whether missing values are told of, and whether times are.
LAYOUTS = [(False, False), (True, False), (False, True), (True, True)]
LENGTHS = torch.tensor([7, 4, 1])


def info_of(masks: bool, gap: bool) -> TaskInfo:
    inputs = FEATURES * (3 if masks else 1) + gap
    metric = METRICS["classification"][0]
    info = TaskInfo("tiny", "classification", inputs, 2, STEPS, metric, gaps=gap)
    return replace(info, missing="mask" if masks else "refuse")


def model_of(cell: tuple[str, str], info: TaskInfo, **changes: Any) -> Model:
    draw = torch.Generator().manual_seed(5)
    changes = {"depth": 2, "hidden_size": HIDDEN, "residual": True, **changes}
    model = Model(small_config(*cell, **changes), info, draw)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    model.set_means(np.linspace(-1, 1, FEATURES, dtype=np.float32))
    return model


def batch_of(info: TaskInfo, seed: int = 6) -> Tensor:
    """Return x_TBI of sequences whose masks and times are what trainables.data.missing tells."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(STEPS, len(LENGTHS), FEATURES))
    parts = [x]
    gap = draw.uniform(0.1, 2, size=(STEPS, len(LENGTHS), 1))
    if info.missing == "mask":
        there = (draw.random(x.shape) < 0.6).astype(float)
        since, last = np.zeros_like(x), x.copy()
        for t in range(1, STEPS):
            since[t] = gap[t] + np.where(there[t - 1] == 1, 0, since[t - 1])
            last[t] = np.where(there[t] == 1, x[t], last[t - 1])
        parts = [last, there, since]
    parts += [gap] if info.gaps else []
    return torch.from_numpy(np.concatenate(parts, axis=-1))
