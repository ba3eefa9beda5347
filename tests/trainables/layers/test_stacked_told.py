"""Stacked models of cells that read gaps, with what they are told of missing values and time."""

import numpy as np
import pytest
import torch
from interpreted import needs_interpreter
from told_models import FEATURES, LAYOUTS, LENGTHS, OF_TIMES, batch_of, info_of, model_of

from trainables.layers.stacked_model import StackedModel

pytestmark = needs_interpreter


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("cell", OF_TIMES, ids="-".join)
def test_stacked_models_are_each_alone(cell: tuple[str, str], layout: tuple[bool, bool]) -> None:
    info = info_of(*layout)
    models = [model_of(cell, info).double() for _ in range(2)]
    with torch.no_grad():
        for parameter in models[1].parameters():
            parameter.mul_(1.1)
    models[1].set_means(np.full(FEATURES, 2, np.float32))
    stacked = StackedModel(models[0])
    weights = torch.stack([torch.nn.utils.parameters_to_vector(m.parameters()) for m in models])
    weights = weights.detach().requires_grad_()
    buffers = {name: torch.stack([m.get_buffer(name) for m in models]) for name in stacked.buffers}
    x = torch.stack([batch_of(info), batch_of(info, seed=7)])
    found = stacked(weights, buffers, x, LENGTHS.expand(2, -1))
    (gradients,) = torch.autograd.grad(found.square().sum(), weights)
    for k, model in enumerate(models):
        alone = model(x[k], LENGTHS)
        alone.square().sum().backward()
        own = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        torch.testing.assert_close(found[k], alone, rtol=0, atol=1e-10)
        torch.testing.assert_close(gradients[k], own, rtol=1e-9, atol=1e-10)
