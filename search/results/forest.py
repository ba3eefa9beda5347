"""The figure of a verdict: P and the mean difference of each pair of arms, with their intervals.

It is a figure without a format. The terminal draws it with characters, the report as a table with
marks. Every pair stands with the arm that wins more often first, and on both axes the right side is
the one on which that arm is better.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from search.results import format
from search.results.evidence import wording
from search.results.evidence.decision import GAMMA
from search.results.evidence.difference import Interval
from search.results.evidence.pairs import Margin
from search.results.evidence.verdict import PairVerdict, Verdict

MOST_ROWS = 12  #: pairs that the figure shows; a table has the others
#: An interval may reach so many spans of the means and margins beyond them before it is cut.
_REACH = 2.0
_TICKS = 4


@dataclass(frozen=True)
class Marks:
    """What a row has on one axis, each as a place between 0 (left end) and 1 (right end)."""

    at: float
    low: float
    high: float
    low_cut: bool = False  #: the interval goes on beyond the axis
    high_cut: bool = False


@dataclass(frozen=True)
class Row:
    """One pair of arms."""

    pair: PairVerdict  #: seen from the arm that wins more often
    title: str  #: in place of the arms' names, such as a task; or nothing
    probability: Marks
    difference: Marks | None  #: None where every pair has a replicate that diverged
    same: Interval | None  #: places between which a difference is within the margin

    @property
    def wins(self) -> str:
        """The share of pairs that the first arm wins, with its interval, in percent."""
        return format.share(self.pair.probability, self.pair.interval)

    @property
    def mean(self) -> str:
        """The mean difference."""
        return format.signed(self.pair.difference)

    @property
    def decision(self) -> str:
        """What is decided about the two arms, or how many more pairs are needed for it."""
        return wording.decision(self.pair)

    @property
    def bounds(self) -> str:
        """The interval of the mean difference; a dash where nothing bounds it yet."""
        found = self.pair.difference_interval
        return format.ABSENT if found is None else format.bounds(*found)


@dataclass(frozen=True)
class Forest:
    """Some pairs on two axes."""

    rows: tuple[Row, ...]
    left_out: int  #: pairs that are not shown
    metric: str
    maximize: bool
    margin: Margin
    confidence: float
    ticks: tuple[tuple[float, str], ...]  #: places and numbers on the axis of differences
    zero: float  #: the place of no difference
    #: Places between which P is that of equivalent arms.
    equivalent: Interval = (1 - GAMMA, GAMMA)


def of_verdict(verdict: Verdict, *, maximize: bool) -> Forest:
    """Return the figure of a verdict; no rows where it compares nothing."""
    pairs = () if verdict.kind == "none" else verdict.pairs
    among = [p for p in pairs if p.first in verdict.best and p.second in verdict.best]
    best = [p for p in pairs if (p.first in verdict.best) is not (p.second in verdict.best)]
    rest = [p for p in pairs if p.first not in verdict.best and p.second not in verdict.best]
    return forest(
        [*among, *best, *rest],
        metric=verdict.metric,
        maximize=maximize,
        margin=verdict.margin,
        confidence=verdict.confidence,
    )


def forest(
    pairs: Sequence[PairVerdict],
    *,
    metric: str,
    maximize: bool,
    margin: Margin,
    confidence: float,
    titles: Sequence[str] = (),
    most: int = MOST_ROWS,
) -> Forest:
    """Return the figure of some pairs, the first `most` of them.

    titles: what rows are called where arms' names do not tell them apart, in the order of `pairs`.
    """
    seen = [pair.seen_from(pair.leader) for pair in pairs if pair.pairs][:most]
    names = [name for name, pair in zip(titles, pairs, strict=False) if pair.pairs]
    low, high = _span(seen)
    sign = 1.0 if maximize else -1.0
    left, right = (low, high) if maximize else (high, low)

    def place(difference: float) -> float:
        return (difference - left) / (right - left)

    rows = tuple(
        Row(
            pair,
            names[index] if names else "",
            Marks(pair.probability, *pair.interval),
            _marks(pair, left, right, sign),
            _places(place, (-pair.tie_within, pair.tie_within), sign)
            if pair.tie_within is not None
            else None,
        )
        for index, pair in enumerate(seen)
    )
    numbers = tuple((place(tick), text) for tick, text in ticks(low, high))
    left_out = sum(pair.pairs > 0 for pair in pairs) - len(seen)
    return Forest(rows, left_out, metric, maximize, margin, confidence, numbers, place(0.0))


def _span(pairs: Sequence[PairVerdict]) -> Interval:
    """Return the ends of the axis of differences: they hold 0, all means and all margins."""
    near = [0.0]
    for pair in pairs:
        near += [] if pair.difference is None else [pair.difference]
        near += [-(pair.tie_within or 0.0), pair.tie_within or 0.0]
    low, high = min(near), max(near)
    reach = _REACH * (high - low) or 1.0
    bounds = [bound for pair in pairs for bound in pair.difference_interval or ()]
    ends = [low, high, *(min(max(bound, low - reach), high + reach) for bound in bounds)]
    free = 0.05 * (max(ends) - min(ends)) or 1.0
    return min(ends) - free, max(ends) + free


def _marks(pair: PairVerdict, left: float, right: float, sign: float) -> Marks | None:
    if pair.difference is None:
        return None
    bounds = pair.difference_interval or (-math.inf, math.inf)
    low, high = bounds if sign > 0 else bounds[::-1]
    places = [(each - left) / (right - left) for each in (pair.difference, low, high)]
    at, start, end = (min(max(place, 0.0), 1.0) for place in places)
    return Marks(at, start, end, places[1] < 0, places[2] > 1)


def _places(place: Callable[[float], float], bounds: Interval, sign: float) -> Interval:
    low, high = bounds if sign > 0 else bounds[::-1]
    return max(place(low), 0.0), min(place(high), 1.0)


def ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Yield round numbers between two ends, with their texts."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        tick = number * step
        text = f"{abs(tick):.{digits}f}" if 1e-6 < step < 1e6 else f"{abs(tick):.3g}"
        yield tick, ("+" if number > 0 else "−" if number < 0 else "") + text
