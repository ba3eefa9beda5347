"""The figure of how the values of the control trials are distributed, for each arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from search.report.axes import CLIPPED, around, clipped
from search.report.frame import Figure, Style, empty, layout, legend_only, styles
from search.results.controls import control_values
from search.results.evidence.bands import MOST, Distribution, Reached, distribution
from search.results.figures import Comparison
from search.results.format import value
from search.results.read import Results
from spaces.kinds import Metric
from spaces.text import listed

_TITLE = "What control trials reach"
_NOT_FOR = (
    "Not for saying what a tuned model of an arm reaches: this is how forgiving the space is to "
    "who draws at random from it, and another space gives other curves."
)
_LISTED = 4  #: arms that the title names


def distributions(figures: Comparison, results: Results) -> Figure:
    """Return the share of each arm's controls that are at least as good as a value."""
    metric, confidence = figures.metric, figures.verdict.confidence
    controls = control_values(results.search, results.arms)
    draws = {arm: values[:MOST] for arm, values in controls.items()}
    share = 1 - (1 - confidence) / len(draws)
    found = {
        arm: distribution(values, maximize=metric.maximize, confidence=share)
        for arm, values in draws.items()
        if any(value is not None for value in values)
    }
    if not found:
        reason = "No control trial has been trained to its end."
        return empty("distribution", "Controls", _TITLE, reason)
    values = [step.value for each in found.values() for step in each.steps]
    cut = clipped(values, metric)
    ends = cut or around(values, 0.04)
    worst, best = sorted(ends, key=metric.cost, reverse=True)
    if metric.ceiling is not None:
        best = max(best, metric.ceiling, key=metric.cost)  # the less good of the two
    looks = [style for style in styles(figures) if style.name in found]
    traces = [_band(style, found[style.name], worst, best) for style in looks]
    for style in looks:
        traces += [_steps(style, found[style.name].steps, worst), legend_only(style)]
    caption = (
        f"The higher a curve, the more of an arm's control trials are at least as good as the "
        f"value below ({_numbers(draws)}).",
        f"Diverged ones count as worse than any value: a curve "
        f"ends below 100 % where there are some. Bands hold for all arms and values at once with "
        f"{100 * confidence:g} %; where they overlap, which arm is better cannot be told.",
        *([CLIPPED] if cut else []),
    )
    axes = layout(
        f"validation {metric.name}",
        "share of controls that are as good",
        xaxis={"range": ends},
        yaxis={"range": [0, 1.02], "tickformat": ".0%"},
    )
    title = f"{_TITLE}: {_finding(draws, found, metric)}"
    return Figure("distribution", "Controls", title, caption, traces, axes, not_for=_NOT_FOR)


def _finding(
    draws: Mapping[str, Sequence[float | None]], found: Mapping[str, Distribution], metric: Metric
) -> str:
    """Return the median of each arm; of many arms, the best and the worst one."""
    medians = {arm: each.median for arm, each in found.items()}
    known = {arm: median for arm, median in medians.items() if median is not None}
    lost = [arm for arm, values in draws.items() if values and arm not in known]
    diverged = [f"half or more diverged of {listed(lost)}"] if lost else []
    shown = [
        f"{value(known[arm])} ({arm})"
        for arm in sorted(known, key=lambda arm: metric.cost(known[arm]))
    ]
    if len(shown) > _LISTED:
        shown = [f"{shown[0]} in the best and {shown[-1]} in the worst of {len(shown)} arms"]
    reached = [f"half get to {listed(shown)}"] if shown else []
    return "; ".join([*reached, *diverged])


def _numbers(draws: Mapping[str, Sequence[float | None]]) -> str:
    def lost(arm: str) -> str:
        diverged = sum(value is None for value in draws[arm])
        return f", {diverged} diverged" if diverged else ""

    return listed(f"{arm} {len(draws[arm])}{lost(arm)}" for arm in draws)


def _steps(style: Style, steps: Sequence[Reached], worst: float) -> dict[str, Any]:
    return style.trace(
        mode="lines",
        x=[steps[0].value, *(step.value for step in steps), worst],
        y=[0.0, *(step.share for step in steps), steps[-1].share],
        line={"color": style.colour, "width": 2, "dash": style.dash, "shape": "hv"},
        hovertemplate=f"{style.label}: %{{y:.0%}} of controls at least as good as %{{x:.4f}}"
        "<extra></extra>",
    )


def _band(style: Style, found: Distribution, worst: float, best: float) -> dict[str, Any]:
    """Return an arm's band as an area of steps, from the worst to the best end of the axis."""
    starts = [best, *(step.value for step in found.steps)]
    ends = [*starts[1:], worst]
    low = [0.0, *(step.low for step in found.steps)]
    high = [found.beyond, *(step.high for step in found.steps)]
    across = [x for both in zip(starts, ends, strict=True) for x in both]
    below, above = ([y for y in bounds for _ in range(2)] for bounds in (low, high))
    return style.band(across, below, above, 0.12)
