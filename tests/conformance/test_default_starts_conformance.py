"""How layers start where nothing is configured: matrices, biases, vectors."""

import math
from typing import Any

import pytest
import torch

from trainables import cells
from trainables.cells import Variant
from trainables.cells.equations import cut
from trainables.layers.layer import Layer

INPUTS, HIDDEN = 6, 24

#: Biases that start elsewhere than at 0, by family, or by variant where it differs: gates that keep
#: the past start open (Jozefowicz 2015, section 2.2).
BIASES: dict[str, dict[str, float]] = {
    "lstm": {"f": 1.0},
    "lstm-no-forget-gate": {},
    "lstm-coupled": {"i": -1.0},  # f = 1 − i
    "ugrnn": {"g": 1.0},
    "ugrnn-intersection": {"gy": 1.0, "gh": 1.0},
    "ran": {"f": 1.0},
    "linear-minlstm": {"f": 1.0},
    "xlstm": {"f": 1.0},
}
#: Gains start at 1, all other vectors at 0, but for the recurrent weights of IndRNN (section 3) and
#: the rates of a pure CfC, which would have no gradient at 0.
GAINS = {"gain_x", "gain_R", "gain_c", "amplitude"}


@pytest.fixture(params=cells.VARIANTS.values(), ids=lambda variant: variant.name)
def layer(request: Any) -> Layer:
    variant: Variant = request.param
    inputs = HIDDEN if variant.square else INPUTS
    return Layer(variant, inputs, HIDDEN, torch.Generator().manual_seed(0)).requires_grad_(False)


def test_input_matrices_are_xavier_uniform(layer: Layer) -> None:
    W = layer.get_parameter("W")
    bound = math.sqrt(6 / (W.shape[1] + HIDDEN))
    assert 0.95 * bound < float(W.abs().max()) <= bound
    assert float(W.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)
    assert abs(float(W.mean())) < 0.1 * bound


def test_recurrent_matrices_are_orthogonal_and_different(layer: Layer) -> None:
    variant, tensors = layer.variant, dict(layer.named_parameters())
    matrices = [cut(tensors["R"], variant.R, block, dim=0) for block in variant.R]
    if variant.projected:
        matrices.append(tensors["P"].T)
    for at, matrix in enumerate(matrices):
        if variant.name == "rnn-irnn":
            assert torch.equal(matrix, torch.eye(HIDDEN))  # Le 2015, section 3
            continue
        narrow = torch.eye(matrix.shape[1])
        torch.testing.assert_close(matrix.T @ matrix, narrow, rtol=0, atol=1e-5)
        assert not torch.allclose(matrix[: len(narrow)], narrow)
        assert not any(torch.equal(matrix, other) for other in matrices[:at])


def test_biases_are_0_but_for_gates_that_keep_the_past(layer: Layer) -> None:
    variant = layer.variant
    start = BIASES.get(variant.name, BIASES.get(variant.family, {}))
    for block in variant.b:
        found = cut(layer.get_parameter("b"), variant.b, block)
        assert torch.equal(found, torch.full((HIDDEN,), start.get(block, 0.0))), block
    assert set(start) <= set(variant.b)


def test_vectors_are_0_and_gains_1(layer: Layer) -> None:
    for name, found in layer.named_parameters():
        if (layer.variant.name, name) in (("rnn-indrnn", "u"), ("cfc-pure", "w_tau")):
            assert 0 <= float(found.min()) < 0.2
            assert 0.8 < float(found.max()) <= 1
        elif name not in ("W", "R", "P", "b"):
            assert torch.equal(found, torch.full_like(found, float(name in GAINS))), name
