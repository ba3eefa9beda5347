"""The critical-difference diagram: arms at their mean ranks, bars for those not told apart."""

from dataclasses import dataclass

from search.results.evidence.ranks import Ranks

WIDTH = 720  #: of the drawing; text has the size of the page's where it is drawn so wide
_LEFT, _RIGHT = 170.0, 550.0  # ends of the axis; names stand beyond them
_AXIS = 34.0  # the height of the axis
_ROW = 24.0  # between two names
_BAR = 13.0  # between two bars


@dataclass(frozen=True)
class ArmMark:
    """An arm: a line from its mean rank down to its name."""

    name: str
    rank: str
    x: float
    y: float  #: of the name
    end: float  #: where the line ends, beside the name
    left: bool  #: on which side the name stands


@dataclass(frozen=True)
class Bar:
    """Arms of which no two are told apart."""

    xs: tuple[float, ...]  #: of the arms
    y: float


@dataclass(frozen=True)
class RanksFigure:
    """The drawing, in units of its own."""

    width: int
    height: float
    axis: float
    left: float
    right: float
    ticks: tuple[tuple[float, int], ...]
    arms: tuple[ArmMark, ...]
    bars: tuple[Bar, ...]


def drawn(ranks: Ranks) -> RanksFigure:
    """Return where everything stands: the best rank on the left."""
    number = len(ranks.means)

    def place(rank: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (rank - 1) / (number - 1)

    bars = tuple(
        Bar(tuple(place(ranks.means[arm]) for arm in group), _AXIS + 14 + _BAR * level)
        for level, group in enumerate(ranks.groups)
    )
    top = _AXIS + 24 + _BAR * len(bars)
    half = (number + 1) // 2
    arms = []
    for order, (name, rank) in enumerate(ranks.means.items()):
        left = order < half
        y = top + _ROW * (order if left else number - 1 - order)
        end = _LEFT - 12 if left else _RIGHT + 12
        arms.append(ArmMark(name, f"{rank:.2f}", place(rank), y, end, left))
    return RanksFigure(
        width=WIDTH,
        height=top + _ROW * half,
        axis=_AXIS,
        left=_LEFT,
        right=_RIGHT,
        ticks=tuple((place(rank), rank) for rank in range(1, number + 1)),
        arms=tuple(arms),
        bars=bars,
    )
