"""The figure of costs: each finalist's test value against everything that it costs."""

import math
from collections.abc import Iterator
from typing import Any

from search.report.frame import Figure, Style, layout, legend_only, styles
from search.results.costs import COSTS, Cost
from search.results.figures import Comparison, CostFront, CostPoint
from search.results.format import value
from spaces.text import listed

_NOT_FOR = (
    "Not for saying that one cell is worth its cost: these are single configurations, chosen for "
    "their value and not for their cost."
)
_COLUMNS = 3
_ROW = 290  # pixels of a row of panels


def value_against_costs(figures: Comparison) -> Figure | None:
    """Return a panel for each cost that finalists have; None where there are none."""
    if not figures.costs:
        return None
    axes: dict[str, Any] = {}
    traces: list[dict[str, Any]] = []
    for place, front in enumerate(figures.costs):
        number = str(place + 1) if place else ""
        cost = next(cost for cost in COSTS if cost.name == front.cost)
        axes[f"xaxis{number}"] = _axis(cost, front)
        axes[f"yaxis{number}"] = {"matches": "y"} if place else {}
        for style in styles(figures):
            traces += _marks(figures, style, front, cost, number)
    axes["yaxis"] = {"title": {"text": f"mean test {figures.metric.name}"}}
    columns = min(_COLUMNS, len(figures.costs))
    rows = -(-len(figures.costs) // columns)
    axes["grid"] = {"rows": rows, "columns": columns, "pattern": "independent", "ygap": 0.35}
    traces += [legend_only(style) for style in styles(figures)]
    caption = (
        "Large, outlined marks are unbeaten: no other finalist has as good a mean at no more of "
        "this cost. Small, faint marks are the others. Bars are the replicates' standard "
        "deviation: marks whose bars overlap widely may change places in further replicates.",
    )
    return Figure(
        "costs",
        "Costs",
        f"Value against costs: {_finding(figures)}",
        caption,
        traces,
        layout("", "", **axes),
        height=_ROW * rows + 60,
        not_for=_NOT_FOR,
    )


def _finding(figures: Comparison) -> str:
    """Return which arms are unbeaten whatever the cost, or that none is."""
    fronts = [{p.arm for p in front.points if p.on_front} for front in figures.costs]
    always = [arm.name for arm in figures.arms if all(arm.name in front for front in fronts)]
    if not always:
        return "no arm is unbeaten at every cost"
    return f"{listed(always)} {'is' if len(always) == 1 else 'are'} unbeaten at every cost"


def _axis(cost: Cost, front: CostFront) -> dict[str, Any]:
    """Return a logarithmic axis that names the least and the largest cost: panels are narrow."""
    amounts = sorted({point.cost / cost.unit for point in front.points})
    found: dict[str, Any] = {"title": {"text": cost.axis, "font": {"size": 12}}, "tickangle": 0}
    if amounts[0] <= 0:
        return found
    ends = amounts if len(amounts) < 2 else [amounts[0], amounts[-1]]
    logs = [math.log10(end) for end in ends]
    margin = 0.15 * (logs[-1] - logs[0]) or 0.1
    found |= {"type": "log", "range": [logs[0] - margin, logs[-1] + margin]}
    return found | {"tickvals": ends, "ticktext": [_short(end) for end in ends]}


def _short(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2g}"


def _marks(
    figures: Comparison, style: Style, front: CostFront, cost: Cost, number: str
) -> Iterator[dict[str, Any]]:
    for point in front.points:
        if point.arm != style.name:
            continue
        marker: dict[str, Any] = {"symbol": style.symbol, "size": 7, "color": style.colour}
        if point.on_front:
            marker |= {"size": 13, "line": {"width": 2, "color": "var(--ink)"}}
        yield style.trace(
            mode="markers",
            x=[point.cost / cost.unit],
            y=[point.value],
            xaxis=f"x{number}",
            yaxis=f"y{number}",
            marker=marker,
            opacity=1.0 if point.on_front else 0.5,
            error_y=_bar(figures, style, point),
            hovertemplate=f"{style.label}, trial {point.number}<br>test: {value(point.value)}"
            f"<br>{cost.axis}: %{{x:.4~g}}<extra></extra>",
        )


def _bar(figures: Comparison, style: Style, point: CostPoint) -> dict[str, Any]:
    finalists = figures.arm(point.arm).finalists
    test = next(one.test for one in finalists if one.number == point.number)
    deviation = (test.deviation if test else None) or 0.0
    look = {"color": style.colour, "thickness": 1, "width": 4}
    return {"type": "data", "array": [deviation], "visible": deviation > 0, **look}
