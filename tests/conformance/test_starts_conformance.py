"""How layers start: every choice that a cell leaves, for every cell."""

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from spaces.errors import InputError
from spaces.hyperparameters import ForgetBias
from trainables import cells
from trainables.cells import Variant
from trainables.cells.equations import cut
from trainables.layers.layer import Layer, Start

HIDDEN, LONGEST = 60, 50


def variants(having: str = "state") -> Any:
    """Return the mark that runs a test for every variant with a non-empty attribute."""
    found = [variant for variant in cells.VARIANTS.values() if getattr(variant, having)]
    return pytest.mark.parametrize("variant", found, ids=lambda variant: variant.name)


def layer_of(variant: Variant, start: Start) -> Layer:
    inputs = HIDDEN if variant.square else 3
    return Layer(variant, inputs, HIDDEN, torch.Generator().manual_seed(7), start).eval()


def kept_of(layer: Layer) -> Tensor:
    """Return the share of its memory that a layer keeps over a step without any input."""
    variant = layer.variant
    with torch.no_grad():
        for name in ("W", "R", "P", "u"):
            if name in dict(layer.named_parameters()):
                layer.get_parameter(name).zero_()
        x_BI = torch.zeros(1, layer.inputs)
        state = layer.initial_state(x_BI.unsqueeze(0))
        memory = "c" if "c" in variant.state else "h"
        state[memory] = torch.ones_like(state[memory])
        if "m" in state:  # stabilised: values are multiples of exp(m)
            state["m"] = torch.zeros(1, HIDDEN)
        after = layer.step(x_BI, state)
        kept = after[memory]
        if "m" in after:
            kept = kept * torch.exp(after["m"])
    return kept.flatten()


@pytest.mark.parametrize(
    ("name", "changes", "rule"),
    [
        (("lstm", "standard"), {"R": ()}, "recurrent must be 'none'"),
        (("linear", "sru"), {"R": ("f",)}, "recurrent must be 'none'"),
        (("gru", "reset-after"), {"b": ("r", "n")}, r"b must have the blocks \['z'\]"),
        (("lstm", "coupled"), {"input_gates": ("f",)}, r"b must have the blocks \['f'\]"),
        (("lstm", "standard"), {"bias": {"q": 1.0}}, r"b must have the blocks \['q'\]"),
    ],
)
def test_a_variant_that_contradicts_its_row_in_the_catalogue_is_refused(
    name: tuple[str, str], changes: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(cells.find(*name), **changes)


def test_a_variant_without_a_row_in_the_catalogue_is_refused() -> None:
    with pytest.raises(InputError, match="gru has no gate variant 'reset-never'"):
        replace(cells.find("gru", "reset-after"), gates="reset-never")


@variants(having="retain_gates")
@pytest.mark.parametrize("forget_bias", get_args(ForgetBias))
def test_a_forget_bias_sets_the_share_of_the_past_that_is_kept(
    variant: Variant, forget_bias: ForgetBias
) -> None:
    kept = kept_of(layer_of(variant, Start(forget_bias, longest=LONGEST)))
    if forget_bias == "chrono":  # a time scale of 1 / (1 - kept) steps, from 2 to the longest
        scale = 1 / (1 - kept)
        assert scale.min() >= 2 - 1e-4
        assert scale.max() <= LONGEST * (1 + 1e-4)
        assert scale.std() > LONGEST / 6  # uniform: their range over the root of 12
        return
    (block,) = variant.retain_gates
    opened = {"zero": 0.0, "one": 1.0, "default": abs(variant.bias.get(block, 0.0))}[forget_bias]
    share = 1 / (1 + math.exp(-opened))
    if variant.name == "linear-minlstm":  # f / (f + i)
        share = share / (share + 0.5)
    torch.testing.assert_close(kept, torch.full_like(kept, share))


@variants(having="input_gates")
def test_a_chrono_start_closes_input_gates_as_far_as_it_opens_forget_gates(
    variant: Variant,
) -> None:
    b_K = layer_of(variant, Start("chrono", longest=LONGEST)).get_parameter("b")
    for block in variant.input_gates:
        (forget,) = variant.retain_gates
        assert torch.equal(cut(b_K, variant.b, block), -cut(b_K, variant.b, forget))


@pytest.mark.parametrize("longest", [1, 2])
def test_a_chrono_start_for_the_shortest_sequences_keeps_half(longest: int) -> None:
    layer = layer_of(cells.find("lstm", "standard"), Start("chrono", longest=longest))
    assert torch.equal(kept_of(layer), torch.full((HIDDEN,), 0.5))


@variants()
def test_a_forget_bias_changes_nothing_but_biases(variant: Variant) -> None:
    usual, other = (
        dict(layer_of(variant, start).named_parameters())
        for start in (Start(), Start("one", "orthogonal", 99))
    )
    for name in usual:
        if name != "b":
            assert torch.equal(usual[name], other[name]), name


@variants(having="R")
def test_recurrent_matrices_start_as_configured(variant: Variant) -> None:
    for name in ("orthogonal", "xavier"):
        R_KH = layer_of(variant, Start(recurrent_init=name)).get_parameter("R").detach()
        for block_HH in torch.split(R_KH, HIDDEN):
            rows, columns = block_HH.shape
            if variant.recurrent == "identity":
                assert torch.equal(block_HH, torch.eye(HIDDEN))
            elif name == "xavier":
                bound = math.sqrt(6 / (rows + columns))
                assert block_HH.abs().max() <= bound
                assert abs(block_HH.std().item() - bound / math.sqrt(3)) < 0.05 * bound
            else:
                torch.testing.assert_close(block_HH.T @ block_HH, torch.eye(columns))
