"""The figures of values over the size of models and over the time of their training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search.journal.trial import TrialResult
from search.report.axes import CLIPPED, clipped, logarithmic
from search.report.frame import Figure, Style, empty, highlighted, layout, legend_only, styles
from search.report.marks import POINTS, complete, marks, of_arm, sample, sampled
from search.results.figures import Comparison
from search.results.format import plural, seconds
from search.results.settings import varying


@dataclass(frozen=True)
class _Axis:
    """What the values are drawn over."""

    name: str
    brief: str  #: in the page's navigation
    title: str  #: of the figure
    label: str
    read: Callable[[TrialResult], float]
    written: Callable[[float], str]
    frontier: str  #: what the dotted line is
    not_for: str
    remarks: tuple[str, ...] = ()


_PARAMETERS = _Axis(
    "parameters",
    "Size",
    "Value against parameters",
    "trainable parameters",
    lambda trial: float(trial.parameters or 0),
    lambda size: plural(int(size), "parameter"),
    "the best value found with at most that many parameters",
    "Not for saying what size alone does: the other settings of these trials differ too.",
)
_TIME = _Axis(
    "time",
    "Time",
    "Value against training time",
    "training time of the trial, seconds",
    lambda trial: trial.train_seconds,
    seconds,
    "the best value found in at most that time",
    "Not for saying how fast a cell is: settings differ, and trials may have shared the machine.",
    ("Times belong to this software on this machine and to how many trials shared it.",),
)


def against_parameters(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return each complete trial's value over the size of its model."""
    return _against(figures, search, _PARAMETERS)


def against_time(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return each complete trial's value over the time that its training took."""
    return _against(figures, search, _TIME)


def _against(figures: Comparison, search: Sequence[TrialResult], axis: _Axis) -> Figure:
    drawable = complete(search, axis.read)
    if not drawable:
        return empty(axis.name, axis.brief, axis.title, "No trial has been trained to its end yet.")
    settings = varying([trial.config for trial in drawable])
    looks = styles(figures)
    traces, drawn = [], 0
    for style in looks:
        strong = highlighted(figures, style.name)
        ranked = of_arm(drawable, style, figures.metric)
        shown = sample(ranked, max(1, POINTS // len(looks)), strong)
        drawn += len(shown)
        traces.append(_frontier(style, ranked, axis.read))
        marker = _marker(style, shown, strong)
        traces.append(marks(style, shown, axis.read, settings, marker=marker, opacity=0.85))
        traces.append(legend_only(style))
    hollow = "hollow: drawn at random; " if any(trial.control for trial in drawable) else ""
    span = clipped([trial.value for trial in drawable if trial.value is not None], figures.metric)
    caption = (
        "One mark a complete trial of the search (pruned trials have early scores and are left "
        f"out); {hollow}large: finalists, or the best trial where there are none.",
        f"The dotted line is {axis.frontier}: a best of many, which flatters the arm with more "
        "tries.",
        *axis.remarks,
        *sampled(drawn, len(drawable), "trials", "finalists"),
        *([CLIPPED] if span else []),
    )
    axes = layout(
        axis.label,
        f"validation {figures.metric.name}",
        xaxis=logarithmic([axis.read(trial) for trial in drawable]),
        yaxis={"range": span} if span else {},
    )
    title = _title(figures, drawable, axis)
    return Figure(axis.name, axis.brief, title, caption, traces, axes, not_for=axis.not_for)


def _title(figures: Comparison, drawable: Sequence[TrialResult], axis: _Axis) -> str:
    """Return how little comes within the verdict's margin of the best value that was found."""
    margin, metric = figures.verdict.margin, figures.metric
    costs = [metric.cost(trial.value) for trial in drawable if trial.value is not None]
    width = margin.value * (abs(min(costs)) if margin.relative else 1.0)
    near = [t for t, cost in zip(drawable, costs, strict=True) if cost <= min(costs) + width]
    least = min(near, key=axis.read)
    found = f"{axis.written(axis.read(least))} ({least.arm})"
    return f"{axis.title}: within {margin} of the best from {found} on"


def _frontier(
    style: Style, ranked: Sequence[TrialResult], x: Callable[[TrialResult], float]
) -> dict[str, Any]:
    """Return the steps of the best value up to each x; `ranked` is best first."""
    steps: list[tuple[float, float | None]] = []
    smallest = float("inf")
    for trial in ranked:
        if x(trial) < smallest:
            smallest = x(trial)
            steps.insert(0, (smallest, trial.value))
    return style.trace(
        mode="lines",
        x=[step[0] for step in steps],
        y=[step[1] for step in steps],
        line={"color": style.colour, "width": 1.5, "dash": "dot", "shape": "hv"},
        opacity=0.7,
        hoverinfo="skip",
    )


def _marker(style: Style, shown: Sequence[TrialResult], strong: set[int]) -> dict[str, Any]:
    large = [trial.number in strong for trial in shown]
    return {
        "symbol": [style.symbol + ("-open" if trial.control else "") for trial in shown],
        "size": [13 if is_large else 7 for is_large in large],
        "color": style.colour,
        "line": {
            "width": [2 if is_large else 1 for is_large in large],
            "color": ["var(--ink)" if is_large else style.colour for is_large in large],
        },
    }
