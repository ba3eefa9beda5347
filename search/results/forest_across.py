"""The figure of two arms over tasks: P and the gain in margins on each task, and their means.

Like forest.py, it has no format: places lie between 0 (left end) and 1 (right end) of an axis. The
arm that wins more often on average stands first, on every task.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search.results import format
from search.results.evidence.across import AcrossPair, OnTask
from search.results.evidence.difference import Interval
from search.results.forest import Marks, ticks

_REACH = 2.0  # an interval may reach so many spans of the gains beyond them before it is cut


@dataclass(frozen=True)
class TaskRow:
    """Two arms on one task, or on average over tasks."""

    title: str
    probability: Marks
    wins: str  #: the share of pairs that the first arm wins, with its interval
    gain: Marks
    mean: str  #: the gain with its interval
    pairs: int


@dataclass(frozen=True)
class TaskForest:
    """Two arms on all their tasks."""

    first: str  #: the arm that wins more often on average
    second: str
    sentence: str
    rows: tuple[TaskRow, ...]
    mean: Marks  #: of P over tasks
    mean_wins: str
    ticks: tuple[tuple[float, str], ...]  #: places and numbers on the axis of gains
    zero: float  #: the place of no gain
    same: Interval  #: places between which a gain is within the margin


def of_pair(pair: AcrossPair) -> TaskForest:
    """Return the figure of a pair of arms."""
    turned = pair.probability < 0.5
    first, second = (pair.second, pair.first) if turned else (pair.first, pair.second)
    gains = [_gain(each, turned=turned) for each in pair.tasks]
    low, high = _span(gains)

    def place(gain: float) -> float:
        return (gain - low) / (high - low)

    rows = []
    for each, (gain, bounds) in zip(pair.tasks, gains, strict=True):
        seen = each.pair.seen_from(first)
        start, end = bounds or (low - 1, high + 1)
        marks = Marks(
            place(gain), max(0, place(start)), min(1, place(end)), start < low, end > high
        )
        text = format.ABSENT if bounds is None else f"{_signed(bounds[0])} to {_signed(bounds[1])}"
        chance = Marks(seen.probability, *seen.interval)
        wins = format.share(seen.probability, seen.interval)
        rows.append(
            TaskRow(each.task, chance, wins, marks, f"{_signed(gain)} ({text})", seen.pairs)
        )
    share, (least, most) = pair.probability, pair.interval
    if turned:
        share, least, most = 1 - share, 1 - most, 1 - least
    return TaskForest(
        first,
        second,
        pair.sentence,
        tuple(rows),
        Marks(share, least, most),
        format.share(share, (least, most)),
        tuple((place(tick), text) for tick, text in ticks(low, high)),
        place(0.0),
        (place(-1.0), place(1.0)),
    )


def _signed(gain: float) -> str:
    return f"{round(gain, 1) + 0.0:+.1f}".replace("-", "−").replace("+0.0", "0.0")


def _gain(each: OnTask, *, turned: bool) -> tuple[float, Interval | None]:
    gain, bounds = each.gain, each.gain_interval
    if not turned:
        return gain, bounds
    return -gain, None if bounds is None else (-bounds[1], -bounds[0])


def _span(gains: Sequence[tuple[float, Interval | None]]) -> Interval:
    """Return the ends of the axis: they hold the margins and all gains."""
    near = [-1.0, 1.0, *(gain for gain, _ in gains)]
    low, high = min(near), max(near)
    reach = _REACH * (high - low)
    bounds = [bound for _, interval in gains for bound in interval or ()]
    ends = [low, high, *(min(max(bound, low - reach), high + reach) for bound in bounds)]
    free = 0.05 * (max(ends) - min(ends))
    return min(ends) - free, max(ends) + free
