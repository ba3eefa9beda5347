"""Recurrent cells: one contract, one table row a variant.

variant.py    what a row says           equations.py  the words equations are written in
rnn.py, lstm.py, gru.py, mgu.py, additive.py, linear.py, xlstm.py   the rows
noise.py      dropout                zoneout.py    a state that is kept at random
"""

from trainables.cells import additive, gru, linear, lstm, mgu, rnn, xlstm
from trainables.cells.variant import Variant

__all__ = ["VARIANTS", "Variant", "find"]

#: Every variant there is, by (family, gates).
VARIANTS: dict[tuple[str, str], Variant] = {
    (variant.family, variant.gates): variant
    for family in (rnn, lstm, gru, mgu, additive, linear, xlstm)
    for variant in family.VARIANTS
}


def find(family: str, gates: str) -> Variant:
    """Return the variant of that name; KeyError where there is none (the catalogue knows more)."""
    return VARIANTS[family, gates]
