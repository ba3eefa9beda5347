"""The figure of the learning curves."""

from collections.abc import Iterable, Sequence
from typing import Any

from search.journal.trial import TrialResult
from search.report.axes import CLIPPED, clipped
from search.report.frame import Figure, Style, empty, highlighted, layout, legend_only, styles
from search.report.marks import of_arm, sample, sampled
from search.results.figures import Comparison
from trainables.training.curve import Epoch

_NOT_FOR = (
    "Not for saying which arm is better: finalists are the best of many tries, and these values "
    "chose them."
)
#: More curves than this are drawn as an even sample of their ranks, and the caption says so.
CURVES = 450
#: Points that are drawn of one curve, at most.
POINTS = 200


def curves(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return the learning curves of all search trials, finalists in front."""
    trained = [trial for trial in search if trial.curve]
    if not trained:
        return empty("curves", "Curves", "Learning curves", "No epoch has been reported yet.")
    behind: list[dict[str, Any]] = []
    front: list[dict[str, Any]] = []
    drawn = 0
    looks = styles(figures)
    for style in looks:
        strong = highlighted(figures, style.name)
        ranked = of_arm(trained, style, figures.metric)
        shown = sample(ranked, max(1, CURVES // len(looks)), strong)
        drawn += len(shown)
        faint = [trial for trial in shown if trial.number not in strong]
        behind += [_faint(style, faint), _stopped(style, faint)]
        leading = [trial for trial in shown if trial.number in strong]
        front += [_strong(style, trial, legend=trial is leading[0]) for trial in leading]
        if not strong:
            front.append(legend_only(style))
    span = clipped([epoch.value for trial in trained for epoch in trial.curve], figures.metric)
    caption = [
        "One faint line a trial; × marks where a trial was pruned. Strong lines are the finalists "
        "(the best trial where there are none yet). Click an arm in the legend to hide it, "
        "double-click to see it alone.",
        *sampled(drawn, len(trained), "curves", "finalists"),
        *([CLIPPED] if span else []),
    ]
    longest = max(trial.curve[-1].epoch for trial in trained)
    axes = layout(
        "epoch",
        f"validation {figures.metric.name}",
        xaxis={"dtick": 1} if longest <= 12 else {},
        yaxis={"range": span} if span else {},
    )
    return Figure(
        "curves", "Curves", "Learning curves", tuple(caption), behind + front, axes, 480, _NOT_FOR
    )


def _faint(style: Style, trials: Iterable[TrialResult]) -> dict[str, Any]:
    """Return many curves as one trace with gaps: a trace for each would be slow."""
    xs: list[int | None] = []
    ys: list[float | None] = []
    for trial in trials:
        points = _thinned(trial.curve)
        xs += [*(point.epoch for point in points), None]
        ys += [*(point.value for point in points), None]
    line = {"color": style.colour, "width": 1, "dash": style.dash}
    return style.trace(mode="lines", x=xs, y=ys, line=line, opacity=0.3, hoverinfo="skip")


def _stopped(style: Style, trials: Iterable[TrialResult]) -> dict[str, Any]:
    ends = [(trial.number, trial.curve[-1]) for trial in trials if trial.state == "pruned"]
    return style.trace(
        mode="markers",
        x=[end.epoch for _, end in ends],
        y=[end.value for _, end in ends],
        text=[f"{style.label}, trial {number}" for number, _ in ends],
        marker={"symbol": "x-thin", "size": 5, "line": {"width": 1.2, "color": style.colour}},
        opacity=0.6,
        hovertemplate="%{text}<br>pruned after epoch %{x}: %{y:.4f}<extra></extra>",
    )


def _strong(style: Style, trial: TrialResult, *, legend: bool) -> dict[str, Any]:
    points = _thinned(trial.curve)
    return style.trace(
        mode="lines+markers",
        x=[point.epoch for point in points],
        y=[point.value for point in points],
        line={"color": style.colour, "width": 3, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 6, "color": style.colour},
        showlegend=legend,
        hovertemplate=f"{style.label}, trial {trial.number}<br>"
        "epoch %{x}: %{y:.4f}<extra></extra>",
    )


def _thinned(curve: Sequence[Epoch]) -> list[Epoch]:
    if len(curve) <= POINTS:
        return list(curve)
    return [curve[index * (len(curve) - 1) // (POINTS - 1)] for index in range(POINTS)]
