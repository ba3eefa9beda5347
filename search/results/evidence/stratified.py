"""The mean of P over several tasks, with an interval that may be looked at after every pair.

Tasks are strata: pairs of one task are drawn alike, those of two tasks are independent. Who bets on
every task that its P is above some m multiplies the capitals. That the mean of P is m at most says
only that the tasks' P have some such mean: the bets refute it where they refute every way to divide
m among the tasks, so that the least product counts (as in Spertus and Stark 2022, "Sweeter than
SUITE: supermartingale stratified union-intersection tests of elections"). Nothing is supposed of
how P differs between the tasks. It speaks of these tasks, not of others.

The log of a capital is convex in m, so that one Lagrange multiplier finds the least product.
"""

from collections.abc import Sequence

import numpy as np

from search.results.evidence.betting import Counts, Floats, log_capital
from search.results.evidence.difference import Interval

_GRID = np.linspace(0.0, 1.0, 1001)  # values of one task's P
_STEP = float(_GRID[1])
_HALVINGS = 30


def mean_interval(tasks: Sequence[Counts], alpha: float) -> Interval:
    """Return the confidence sequence of the mean of P over tasks; alpha / 2 a side.

    tasks: wins, ties and losses on each; at least one. It holds the mean at all numbers of pairs of
    every task at once with a probability of 1 - alpha.
    """
    counts = Counts(*map(np.array, zip(*tasks, strict=True)))
    return _low(counts, alpha), 1.0 - _low(counts.swapped, alpha)


def _low(counts: Counts, alpha: float) -> float:
    """Return the largest mean that is refuted however it is divided among the tasks; 0 if none.

    Less a step of the grid, between whose points a product may be a little smaller.
    """
    per_task = Counts(*(np.asarray(count)[:, None] for count in counts))
    logs = log_capital(per_task, np.maximum(_GRID, 1e-300))  # [task, P]
    found, least, most = 0.0, -30.0, 30.0  # of the multiplier's logarithm
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        mean, capital = _cheapest(logs, float(np.exp(middle)))
        if capital >= np.log(2 / alpha):
            found, most = max(found, mean), middle  # a lower price of P leaves more of it
        else:
            least = middle
    return max(0.0, found - _STEP)


def _cheapest(logs: Floats, price: float) -> tuple[float, float]:
    """Return the mean of P, and the log of the product of capitals, at each task's cheapest P."""
    chosen = (logs + price * _GRID).argmin(axis=1)
    capitals = np.take_along_axis(logs, chosen[:, None], axis=1)
    return float(_GRID[chosen].mean()), float(capitals.sum())
