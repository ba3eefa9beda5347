"""Zoneout: in training, units of the state keep their previous value at random (Krueger 2017).

    s' = d⊙s⁻ + (1 - d)⊙s,  d is 1 with the rate's probability and 0 otherwise

for every field s of the state in Variant.zoneout_fields, each with masks of its own. In evaluation
d is its expectation, the rate. As in the paper, what else a step computes from a new field (h from
c) it computes from s, not from s'.

Shapes are suffixes: T steps, B sequences, I inputs, F fields with zoneout times units.
"""

from dataclasses import replace

from torch import Tensor

from trainables.cells.equations import State, Terms
from trainables.cells.noise import Dropout
from trainables.cells.variant import Step, Variant

_ZONED: dict[str, Variant] = {}


def zoned(variant: Variant) -> Variant:
    """Return the variant with zoneout: its step mixes the state before into the state after."""
    if variant.name not in _ZONED:
        _ZONED[variant.name] = replace(variant, zoneout=True, step=_mixing(variant))
    return _ZONED[variant.name]


def _mixing(variant: Variant) -> Step:
    def step(a: Terms, s: State) -> State:
        after = variant.step(a, s)
        for name in variant.zoneout_fields:
            keep = a.keep(name)
            after[name] = keep * s[name] + (1 - keep) * after[name]
        return after

    return step


def keep(variant: Variant, rate: float, dropout: Dropout, like_TBI: Tensor, hidden: int) -> Tensor:
    """Return d for every step: masks [T, B, F], or in evaluation their expectation [1, 1, F]."""
    width = len(variant.zoneout_fields) * hidden
    if not dropout.active:
        return like_TBI.new_full((1, 1, width), rate)
    return dropout.kept((*like_TBI.shape[:2], width)).logical_not_().to(like_TBI.dtype)
