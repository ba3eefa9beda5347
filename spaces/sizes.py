"""Exact numbers of parameters, and hidden sizes that meet a budget of parameters."""

from decimal import Decimal
from typing import Any

from spaces.cells import Cell, find
from spaces.config import TrialConfig
from spaces.inputs import NOTHING, Inputs


def parameters(config: TrialConfig, inputs: int | Inputs, outputs: int) -> int:
    """Return the number of trainable parameters of the whole model, readout included.

    inputs: of a step, values alone where it is a number, or the size of the vocabulary; outputs:
    width of the readout.
    """
    cell = find(config.cell, config.gates)
    return _count(cell, config.hidden_size, config.depth, config.bidirectional, inputs, outputs)


def solve_hidden_size(
    draft: dict[str, Any], inputs: int | Inputs, outputs: int, target: int, tolerance: float
) -> int | None:
    """Return the hidden size whose number of parameters is nearest to target.

    draft: fields of a TrialConfig; read are cell, gates, depth, bidirectional and heads.
    tolerance: largest relative distance from target. None where no hidden size is that near.
    """
    hidden, count = nearest_size(draft, inputs, outputs, target)
    part, whole = Decimal(repr(tolerance)).as_integer_ratio()  # exactly what the user wrote
    return hidden if abs(count - target) * whole <= part * target else None


def nearest_size(
    draft: dict[str, Any], inputs: int | Inputs, outputs: int, target: int
) -> tuple[int, int]:
    """Return the hidden size whose number of parameters is nearest to target, and that number."""
    cell = find(draft["cell"], draft.get("gates"))
    step = draft["heads"] if cell.attention else 1

    def count(steps: int) -> int:
        both_ways = draft.get("bidirectional", False)
        return _count(cell, steps * step, draft["depth"], both_ways, inputs, outputs)

    above = 1
    while count(above) < target:
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        if count(middle) < target:
            below = middle
        else:
            above = middle
    best = min((size for size in (below, above) if size), key=lambda s: abs(count(s) - target))
    return best * step, count(best)


def _count(
    cell: Cell, hidden: int, depth: int, both_ways: bool, inputs: int | Inputs, outputs: int
) -> int:
    inputs = Inputs.of(inputs)
    values, told = inputs.values, inputs.told
    directions = 2 if both_ways and not cell.attention else 1
    width = directions * cell.width(hidden)
    total = cell.once(hidden) + outputs * width + outputs
    if cell.gaps == "none":  # what is told is an input as any other
        values, told = inputs.total, NOTHING
    if cell.square:
        total += values * hidden + hidden
        values = hidden
    if cell.gaps == "decay":  # of the inputs, before the first layer
        total += 2 * told.features
    total += directions * cell.size(values, told, hidden)
    return total + (depth - 1) * directions * cell.size(width, told, hidden)
