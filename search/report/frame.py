"""What the report's figures share: their frame and the look of each arm.

Figures are Plotly's plain JSON. Colours are names of CSS variables, resolved on the page, so that
one file serves light and dark screens. Every text that comes from a user is escaped: Plotly reads a
small HTML of its own.
"""

import html
from dataclasses import dataclass, field
from typing import Any

from search.results.figures import Comparison

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star", "hexagon", "cross")
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Colour:
    """An arm's colour, on a light page and on a dark one."""

    light: str
    dark: str


#: The arms' colours in the order of the job file; the page names them --arm-0, --arm-1, ...
COLOURS = (
    Colour("#0072b2", "#56b4e9"),
    Colour("#d55e00", "#ff8c42"),
    Colour("#00815a", "#37c99a"),
    Colour("#b0478a", "#e59ac8"),
    Colour("#8a6d00", "#e8c547"),
    Colour("#2f8fce", "#9db4ff"),
    Colour("#555555", "#c2c2c2"),
)


@dataclass(frozen=True)
class Figure:
    """One figure: its place on the page, what draws it and from what, and what the caption says.

    Plotly draws traces on a layout; a drawer of ours (a file of this folder) draws its `given`.
    """

    name: str  #: the element's id
    short: str  #: in the page's navigation
    title: str
    caption: tuple[str, ...]
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 420
    not_for: str = ""  #: a sentence: what it may not be used for
    drawer: str = ""  #: its name in page.js
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.traces or self.drawer)

    def as_dict(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        if self.drawer:
            return {"name": self.name, "drawer": self.drawer, "height": self.height, **self.given}
        return {"name": self.name, "traces": self.traces, "layout": self.layout}


@dataclass(frozen=True)
class Style:
    """How an arm looks everywhere in the report: colour, symbol and dash, never colour alone."""

    name: str
    position: int

    @property
    def colour(self) -> str:
        """Return the CSS variable of the arm's colour."""
        return f"var(--arm-{self.position % len(COLOURS)})"

    @property
    def symbol(self) -> str:
        """Return the arm's marker."""
        return _SYMBOLS[self.position % len(_SYMBOLS)]

    @property
    def dash(self) -> str:
        """Return the arm's line style."""
        return _DASHES[self.position // len(COLOURS) % len(_DASHES)]

    @property
    def label(self) -> str:
        """Return the arm's name for Plotly, whose templates read % and whose texts read HTML."""
        return html.escape(self.name).replace("%", "&#37;")

    def trace(self, **more: Any) -> dict[str, Any]:
        """Return a scatter trace that the arm's legend entry switches on and off."""
        return {
            "type": "scatter",
            "legendgroup": f"arm-{self.position}",
            "name": self.label,
            "showlegend": False,
            **more,
        }

    def band(self, x: list[Any], low: list[Any], high: list[Any], opacity: float) -> dict[str, Any]:
        """Return the area between two curves over x."""
        return self.trace(
            mode="lines",
            x=[*x, *reversed(x)],
            y=[*low, *reversed(high)],
            line={"color": self.colour, "width": 0},
            fill="toself",
            fillcolor=self.colour,
            opacity=opacity,
            hoverinfo="skip",
        )


def styles(figures: Comparison) -> list[Style]:
    """Return the arms' looks in the order of the job file."""
    return [Style(arm.name, position) for position, arm in enumerate(figures.arms)]


def highlighted(figures: Comparison, arm: str) -> set[int]:
    """Return the numbers of an arm's trials to point at: its finalists, or its best trial."""
    summary = figures.arm(arm)
    finalists = {finalist.number for finalist in summary.finalists}
    return finalists or ({summary.leader.number} if summary.leader else set())


def legend_only(style: Style) -> dict[str, Any]:
    """Return a trace that draws nothing but the arm's entry in the legend."""
    marker = {"symbol": style.symbol, "color": style.colour, "size": 8}
    return style.trace(mode="markers", x=[None], y=[None], marker=marker, showlegend=True)


def empty(name: str, short: str, title: str, reason: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    return Figure(name, short, title, (reason,), [], {})


def layout(x: str, y: str, **more: Any) -> dict[str, Any]:
    """Return a layout with the titles of both axes; `more` is laid over it."""
    return {
        "xaxis": {"title": {"text": html.escape(x)}, **more.pop("xaxis", {})},
        "yaxis": {"title": {"text": html.escape(y)}, **more.pop("yaxis", {})},
        **more,
    }
