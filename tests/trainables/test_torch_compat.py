"""What breaks, and what is done instead, when torch lacks one of its private names.

A name that is missing fails the first test. Then either take it out of trainables/torch_compat.py,
where its replacement already stands, or find what torch.optim calls in that version.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainables import torch_compat

#: Each private name, and what is lost without it.
LOST = {
    "_foreach_zero_": "one call that zeroes the gradients of all members of a cohort",
    "_foreach_norm": "one call for the gradient norms of all members of a cohort",
    "_foreach_add_": "one call that adds up small gradients and counts steps",
    "_fused_adam_": "Adam in one pass over the weights; by its rule it takes several",
    "_fused_adamw_": "AdamW in one pass over the weights; by its rule it takes several",
    "_cudnn_rnn": "a layer on a card without a copy of each of its weights",
}


def vectors() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(n, generator=draw) for n in (1, 5, 300)]


def added(values: Any) -> list[torch.Tensor]:
    tensors = vectors()
    torch_compat.add(tensors, values)
    return tensors


def zeroed() -> list[torch.Tensor]:
    tensors = vectors()
    torch_compat.zero(tensors)
    return tensors


#: What is computed with each name: the function, and what it must give.
COMPUTED: dict[str, list[tuple[Callable[[], list[torch.Tensor]], list[torch.Tensor]]]] = {
    "_foreach_zero_": [(zeroed, [torch.zeros_like(v) for v in vectors()])],
    "_foreach_norm": [
        (lambda: torch_compat.norms(vectors()), [v.square().sum().sqrt() for v in vectors()])
    ],
    "_foreach_add_": [
        (lambda: added(1), [v + 1 for v in vectors()]),
        (lambda: added(vectors()), [v + v for v in vectors()]),
    ],
}


@pytest.mark.parametrize("name", LOST)
def test_torch_has_every_private_name_that_is_used(name: str) -> None:
    assert hasattr(torch, name), f"this torch lacks {name}; without it is lost: {LOST[name]}"


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("name", COMPUTED)
def test_results_are_the_same_with_and_without_a_name(
    name: str, present: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not present:
        monkeypatch.delattr(torch, name)
    for compute, expected in COMPUTED[name]:
        torch.testing.assert_close(compute(), expected)


@pytest.mark.parametrize("decoupled", [False, True])
def test_there_is_a_fused_step_where_torch_has_a_kernel_for_the_device(
    decoupled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, other = torch.device("cpu"), torch.device("meta")
    assert torch_compat.fused_adam(cpu, decoupled=decoupled) is not None
    assert torch_compat.fused_adam(other, decoupled=decoupled) is None
    monkeypatch.delattr(torch, "_fused_adamw_" if decoupled else "_fused_adam_")
    assert torch_compat.fused_adam(cpu, decoupled=decoupled) is None
