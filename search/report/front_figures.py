"""The figures of the Pareto front: value against each of the job's other objectives."""

from collections.abc import Callable, Sequence
from typing import Any

from search.journal.trial import TrialResult
from search.report.frame import Figure, empty, layout, legend_only, styles
from search.report.search_figures import POINTS, by_rank, logarithmic, marks, sample
from search.results.figures import Comparison
from search.results.format import count, plural
from search.results.importance import varying
from spaces.text import listed

#: An objective in words, in one, on an axis, and how it is read from a record.
_AGAINST: dict[str, tuple[str, str, str, Callable[[TrialResult], float]]] = {
    "parameters": (
        "parameters",
        "size",
        "trainable parameters",
        lambda each: float(each.parameters or 0),
    ),
    "seconds": (
        "training time",
        "time",
        "training time of the trial, seconds",
        lambda each: each.train_seconds,
    ),
}


def fronts(
    figures: Comparison, search: Sequence[TrialResult], objectives: Sequence[str]
) -> list[Figure]:
    """Return a figure for each objective beside the value; none where there is no other."""
    return [_front(figures, search, objectives, against) for against in objectives[1:]]


def _front(
    figures: Comparison, search: Sequence[TrialResult], objectives: Sequence[str], against: str
) -> Figure:
    words, brief, label, x = _AGAINST[against]
    name, title = f"front-{against}", f"Pareto front: value against {words}"
    short = "Pareto front" if len(objectives) == 2 else f"Front: {brief}"
    complete = [
        each
        for each in search
        if each.state == "complete" and each.value is not None and x(each) > 0
    ]
    if not complete:
        return empty(name, short, title, "No trial has been trained to its end yet.")
    names = varying([each.config for each in complete])
    looks = styles(figures)
    points = {(each.arm, each.number) for each in figures.front}
    traces: list[dict[str, Any]] = []
    drawn = 0
    for style in looks:
        ours = by_rank((each for each in complete if each.arm == style.name), figures.metric)
        on = {number for arm, number in points if arm == style.name}
        shown = sample(ours, max(1, POINTS // len(looks)), on)
        drawn += len(shown)
        behind = [each for each in shown if each.number not in on]
        marker = {"symbol": style.symbol, "size": 7, "color": style.colour}
        traces.append(marks(style, behind, x, names, marker, 0.45))
        marker = {**marker, "size": 13, "line": {"width": 2, "color": "var(--ink)"}}
        front = [each for each in shown if each.number in on]
        traces.append(marks(style, front, x, names, marker, 1.0))
        traces.append(legend_only(style))
    if len(objectives) == 2:  # of more objectives, this plane shows a shadow that is no line
        traces.insert(0, _line([each for each in complete if (each.arm, each.number) in points], x))
    goals = [f"validation {figures.metric.name}", *(_AGAINST[each][0] for each in objectives[1:])]
    together = "all of " if len(goals) > 2 else "both "
    caption = [
        f"Large, outlined marks are the front, {count(len(points))} of "
        f"{plural(len(complete), 'complete trial')}: no trial of any arm is as good in "
        f"{together}{listed(goals)} and better in one of them. Small, faint marks are the other "
        "complete trials.",
        "The values are the search's, of one training each: a front of many tries flatters the "
        "arm with more of them, and its points are not confirmed with fresh seeds.",
    ]
    if drawn < len(complete):
        caption.append(
            f"{count(drawn)} of {count(len(complete))} trials are drawn, evenly over the ranks of "
            "each arm, the front included."
        )
    axes = layout(
        label,
        f"validation {figures.metric.name}",
        xaxis=logarithmic([x(each) for each in complete]),
    )
    return Figure(name, short, title, tuple(caption), traces, axes)


def _line(front: Sequence[TrialResult], x: Callable[[TrialResult], float]) -> dict[str, Any]:
    """Return the steps of the best value of any arm within so much of the other objective."""
    ordered = sorted(front, key=x)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x(each) for each in ordered],
        "y": [each.value for each in ordered],
        "line": {"color": "var(--muted)", "width": 1.5, "dash": "dot", "shape": "hv"},
        "name": "front",
        "legendrank": 2000,
        "showlegend": True,
        "hoverinfo": "skip",
    }
