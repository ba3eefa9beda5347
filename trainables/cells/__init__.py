"""Recurrent cells: the equations of every gate variant, one file a family, one table row a variant.

    rnn.py, lstm.py, gru.py, mgu.py, additive.py, linear.py, xlstm.py, cfc.py   the rows, by family
    variant.py    what a row holds: equations, blocks, state, first values
    equations.py  the vocabulary of the equations: Terms, sigmoid, tanh, ...
    noise.py      dropout masks, and all noise of one training step
    zoneout.py    zoneout, added to any variant

The equations of a variant are one function, step(a, s) -> state. It runs on torch tensors (the
definition, layers/scan.py), on graph nodes (the compiled engine, engine/trace.py) and on ONNX nodes
(export/onnx/loop.py); each brings a Terms of its own. What may be tried without torch, a variant's
size and which settings it reads, stands in the catalogue, spaces/cells.py; Variant.cell is the row
there.
"""

from trainables.cells import additive, cfc, gru, linear, lstm, mgu, rnn, xlstm
from trainables.cells.variant import Variant

__all__ = ["VARIANTS", "Variant", "find"]

#: Every variant, by (family, gates).
VARIANTS: dict[tuple[str, str], Variant] = {
    (variant.family, variant.gates): variant
    for family in (rnn, lstm, gru, mgu, additive, linear, xlstm, cfc)
    for variant in family.VARIANTS
}


def find(family: str, gates: str) -> Variant:
    """Return the variant of that name. KeyError if there is none, as for the transformer."""
    return VARIANTS[family, gates]
