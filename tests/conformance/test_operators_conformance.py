"""Cells are what onnxruntime's own recurrent operators compute, wherever one of them can."""

import embeddings
import numpy as np
import oracle
import pytest
import torch
from drawn_layers import LENGTHS, batch, last_state, layer_of

from spaces.cells import CELLS
from trainables import cells

TOLERANCE = 1e-5  # the operators compute in float32
VARIANTS = {variant.name: variant for variant in cells.VARIANTS.values()}


def test_every_variant_is_embedded_or_the_reason_is_given() -> None:
    embedded, without = set(embeddings.EMBEDDINGS), set(embeddings.WITHOUT)
    assert embedded | without == {cell.name for cell in CELLS}
    assert not embedded & without
    assert all(embeddings.WITHOUT.values())


@pytest.mark.parametrize("name", embeddings.EMBEDDINGS)
def test_a_ragged_batch_is_the_operator_s_with_sequence_lengths(name: str) -> None:
    layer = layer_of(VARIANTS[name], torch.float32)
    x_TBI = batch(layer.variant, torch.float32)
    with torch.no_grad():
        y_TBH, state = layer(x_TBI, LENGTHS), last_state(layer, x_TBI)
    o = oracle.weights(layer)
    expected, end = embeddings.run(
        o, embeddings.EMBEDDINGS[name](o), x_TBI.double().numpy(), LENGTHS.numpy()
    )
    for b, length in enumerate(LENGTHS.tolist()):
        found = y_TBH[:length, b]
        np.testing.assert_allclose(found, expected[:length, b], rtol=0, atol=TOLERANCE)
    for field, value_BH in state.items():
        np.testing.assert_allclose(value_BH, end[field], rtol=0, atol=TOLERANCE)
