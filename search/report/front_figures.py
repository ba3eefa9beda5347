"""The figures of the Pareto front: value against each of the job's other objectives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search.journal.trial import TrialResult
from search.report.axes import logarithmic
from search.report.frame import Figure, Style, empty, layout, legend_only, styles
from search.report.marks import POINTS, complete, marks, of_arm, sample, sampled
from search.results.figures import Comparison
from search.results.format import count, plural
from search.results.settings import varying
from spaces.text import listed

_NOT_FOR = (
    "Not for promising a trade-off on new data: the front is chosen by the values that it shows."
)


@dataclass(frozen=True)
class _Objective:
    """An objective beside the value."""

    name: str
    brief: str  #: in the page's navigation
    label: str  #: of its axis
    read: Callable[[TrialResult], float]


_OBJECTIVES = {
    "parameters": _Objective(
        "parameters", "size", "trainable parameters", lambda trial: float(trial.parameters or 0)
    ),
    "seconds": _Objective(
        "training time",
        "time",
        "training time of the trial, seconds",
        lambda trial: trial.train_seconds,
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
    objective = _OBJECTIVES[against]
    name, title = f"front-{against}", f"Pareto front: value against {objective.name}"
    short = "Pareto front" if len(objectives) == 2 else f"Front: {objective.brief}"
    drawable = complete(search, objective.read)
    if not drawable:
        return empty(name, short, title, "No trial has been trained to its end yet.")
    points = {(point.arm, point.number) for point in figures.front}
    traces: list[dict[str, Any]] = []
    drawn = 0
    settings = varying([trial.config for trial in drawable])
    looks = styles(figures)
    for style in looks:
        ranked = of_arm(drawable, style, figures.metric)
        on_front = {number for arm, number in points if arm == style.name}
        shown = sample(ranked, max(1, POINTS // len(looks)), on_front)
        drawn += len(shown)
        traces += _marks(style, shown, on_front, objective, settings)
    if len(objectives) == 2:  # of more objectives, this plane shows a shadow that is no line
        on = [trial for trial in drawable if (trial.arm, trial.number) in points]
        traces.insert(0, _line(on, objective.read))
    caption = (
        _explanation(figures, len(drawable), objectives),
        "The values are the search's, of one training each: a front of many tries flatters the "
        "arm with more of them, and its points are not confirmed with fresh seeds.",
        *sampled(drawn, len(drawable), "trials", "the front"),
    )
    axes = layout(
        objective.label,
        f"validation {figures.metric.name}",
        xaxis=logarithmic([objective.read(trial) for trial in drawable]),
    )
    return Figure(name, short, title, caption, traces, axes, not_for=_NOT_FOR)


def _marks(
    style: Style,
    shown: Sequence[TrialResult],
    on_front: set[int],
    objective: _Objective,
    settings: Sequence[str],
) -> list[dict[str, Any]]:
    faint: dict[str, Any] = {"symbol": style.symbol, "size": 7, "color": style.colour}
    large = {**faint, "size": 13, "line": {"width": 2, "color": "var(--ink)"}}
    behind = [trial for trial in shown if trial.number not in on_front]
    front = [trial for trial in shown if trial.number in on_front]
    return [
        marks(style, behind, objective.read, settings, marker=faint, opacity=0.45),
        marks(style, front, objective.read, settings, marker=large, opacity=1.0),
        legend_only(style),
    ]


def _explanation(figures: Comparison, trials: int, objectives: Sequence[str]) -> str:
    others = (_OBJECTIVES[objective].name for objective in objectives[1:])
    goals = [f"validation {figures.metric.name}", *others]
    together = "all of" if len(goals) > 2 else "both"
    return (
        f"Large, outlined marks are the front, {count(len(figures.front))} of "
        f"{plural(trials, 'complete trial')}: no trial of any arm is as good in {together} "
        f"{listed(goals)} and better in one of them. Small, faint marks are the other complete "
        "trials."
    )


def _line(front: Sequence[TrialResult], x: Callable[[TrialResult], float]) -> dict[str, Any]:
    """Return the steps of the best value of any arm within so much of the other objective."""
    ordered = sorted(front, key=x)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x(trial) for trial in ordered],
        "y": [trial.value for trial in ordered],
        "line": {"color": "var(--muted)", "width": 1.5, "dash": "dot", "shape": "hv"},
        "name": "front",
        "legendrank": 2000,
        "showlegend": True,
        "hoverinfo": "skip",
    }
