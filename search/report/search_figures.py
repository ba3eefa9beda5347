"""The figures of the search: learning curves, values over size and time, importance."""

import html
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from search.journal.trial import TrialResult
from search.report.frame import Figure, Style, empty, highlighted, layout, legend_only, styles
from search.results.figures import Comparison
from search.results.format import count, plain, plural, seconds
from search.results.importance import Importance, varying
from search.results.ranking import SearchRank, search_rank
from spaces.tasks import Metric
from trainables.training.curve import Epoch

#: More than this is drawn as an even sample of the ranked trials, and the caption says so.
CURVES, POINTS = 450, 1500
#: Points kept of one curve.
STEPS = 200

_CUT = "The axis leaves out the worst values, at most a tenth; double-click the plot to see all."


def sample(ranked: Sequence[TrialResult], most: int, keep: set[int]) -> list[TrialResult]:
    """Return at most about `most` records, even over their ranks, with the kept numbers in."""
    if len(ranked) <= most:
        return list(ranked)
    chosen = {index * len(ranked) // most for index in range(most)}
    return [each for rank, each in enumerate(ranked) if rank in chosen or each.number in keep]


def by_rank(records: Iterable[TrialResult], metric: Metric) -> list[TrialResult]:
    """Return trials in any state by search rank; those without a value come last."""

    def key(record: TrialResult) -> tuple[bool, SearchRank]:
        rank = search_rank(metric, record.value or 0.0, record.parameters, record.number)
        return record.value is None, rank

    return sorted(records, key=key)


def described(record: TrialResult, names: Sequence[str]) -> str:
    """Return a trial in words for its tooltip."""
    lines = [f"<b>{html.escape(record.arm)}, trial {record.number}</b>"]
    if record.control:
        lines.append("drawn at random, never pruned")
    lines += [html.escape(f"{name}: {plain(getattr(record.config, name))}") for name in names]
    lines += [f"parameters: {count(record.parameters)}"]
    lines += [f"{plural(record.epochs, 'epoch')} in {seconds(record.train_seconds)}"]
    return "<br>".join(lines)


def curves(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return the learning curves of all trials, finalists in front."""
    traces: list[dict[str, Any]] = []
    front: list[dict[str, Any]] = []
    drawn = 0
    looks = styles(figures)
    trained = [each for each in search if each.curve]
    for style in looks:
        ours = by_rank((each for each in trained if each.arm == style.name), figures.metric)
        keep = highlighted(figures, style.name)
        shown = sample(ours, max(1, CURVES // len(looks)), keep)
        drawn += len(shown)
        faint = [each for each in shown if each.number not in keep]
        line = {"color": style.colour, "width": 1, "dash": style.dash}
        xs, ys = _joined(faint)
        traces.append(
            style.trace(mode="lines", x=xs, y=ys, line=line, opacity=0.3, hoverinfo="skip")
        )
        traces.append(_stopped(style, faint))
        for position, record in enumerate(each for each in shown if each.number in keep):
            points = _thinned(record.curve)
            front.append(
                style.trace(
                    mode="lines+markers",
                    x=[each.epoch for each in points],
                    y=[each.value for each in points],
                    line={"color": style.colour, "width": 3, "dash": style.dash},
                    marker={"symbol": style.symbol, "size": 6, "color": style.colour},
                    showlegend=position == 0,
                    hovertemplate=f"{style.label}, trial {record.number}<br>"
                    "epoch %{x}: %{y:.4f}<extra></extra>",
                )
            )
        if not keep:
            front.append(legend_only(style))
    if not trained:
        return empty("curves", "Curves", "Learning curves", "No epoch has been reported yet.")
    everything = [each.value for record in trained for each in record.curve]
    span = clipped(everything, figures.metric)
    caption = [
        "One faint line a trial; × marks where a trial was pruned. Strong lines are the finalists "
        "(the best trial where there are none yet). Click an arm in the legend to hide it, "
        "double-click to see it alone.",
    ]
    if drawn < len(trained):
        caption.append(
            f"{count(drawn)} of {count(len(trained))} curves are drawn, evenly over the ranks of "
            "each arm, finalists included."
        )
    if span:
        caption.append(_CUT)
    longest = max(
        (record.curve[-1].epoch for record in trained),
    )
    axes = layout(
        "epoch",
        f"validation {figures.metric.name}",
        xaxis={"dtick": 1} if longest <= 12 else {},
        yaxis={"range": span} if span else {},
    )
    return Figure("curves", "Curves", "Learning curves", tuple(caption), traces + front, axes, 480)


def _joined(records: Iterable[TrialResult]) -> tuple[list[int | None], list[float | None]]:
    """Return many curves as one trace with gaps: a trace each would be slow."""
    xs: list[int | None] = []
    ys: list[float | None] = []
    for record in records:
        points = _thinned(record.curve)
        xs += [*(each.epoch for each in points), None]
        ys += [*(each.value for each in points), None]
    return xs, ys


def _thinned(curve: Sequence[Epoch]) -> list[Epoch]:
    if len(curve) <= STEPS:
        return list(curve)
    return [curve[index * (len(curve) - 1) // (STEPS - 1)] for index in range(STEPS)]


def _stopped(style: Style, records: Iterable[TrialResult]) -> dict[str, Any]:
    ends = [(each, each.curve[-1]) for each in records if each.state == "pruned"]
    return style.trace(
        mode="markers",
        x=[end.epoch for _, end in ends],
        y=[end.value for _, end in ends],
        text=[f"{style.label}, trial {each.number}" for each, _ in ends],
        marker={"symbol": "x-thin", "size": 5, "line": {"width": 1.2, "color": style.colour}},
        opacity=0.6,
        hovertemplate="%{text}<br>pruned after epoch %{x}: %{y:.4f}<extra></extra>",
    )


def clipped(values: Sequence[float], metric: Metric) -> list[float] | None:
    """Return a range without the worst tenth, if that takes up half of the axis or more."""
    if len(values) < 20:
        return None
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if metric.maximize:
        cut = ordered[len(ordered) // 10]
        if cut - low < high - cut or high == cut:
            return None
        return [cut - 0.05 * (high - cut), high + 0.05 * (high - cut)]
    cut = ordered[-1 - len(ordered) // 10]
    if high - cut < cut - low or low == cut:
        return None
    return [low - 0.05 * (cut - low), cut + 0.05 * (cut - low)]


def against_parameters(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return each complete trial's value over the size of its model."""
    return _against(
        figures,
        [each for each in search if each.parameters],
        "parameters",
        "Value against parameters",
        "trainable parameters",
        lambda record: float(record.parameters or 0),
        "the best value found with at most that many parameters",
    )


def against_time(figures: Comparison, search: Sequence[TrialResult]) -> Figure:
    """Return each complete trial's value over the time that its training took."""
    return _against(
        figures,
        [each for each in search if each.train_seconds > 0],
        "time",
        "Value against training time",
        "training time of the trial, seconds",
        lambda record: record.train_seconds,
        "the best value found in at most that time",
        "Times belong to this software on this machine and to how many trials shared it.",
    )


def _against(
    figures: Comparison,
    search: Sequence[TrialResult],
    name: str,
    title: str,
    label: str,
    x: Callable[[TrialResult], float],
    frontier: str,
    *more: str,
) -> Figure:
    complete = [each for each in search if each.state == "complete" and each.value is not None]
    if not complete:
        return empty(name, name.capitalize(), title, "No trial has been trained to its end yet.")
    names = varying([each.config for each in complete])
    looks = styles(figures)
    traces, drawn = [], 0
    for style in looks:
        ours = by_rank((each for each in complete if each.arm == style.name), figures.metric)
        keep = highlighted(figures, style.name)
        shown = sample(ours, max(1, POINTS // len(looks)), keep)
        drawn += len(shown)
        steps = _frontier(ours, x)
        line = {"color": style.colour, "width": 1.5, "dash": "dot", "shape": "hv"}
        xs, ys = [step[0] for step in steps], [step[1] for step in steps]
        traces.append(
            style.trace(mode="lines", x=xs, y=ys, line=line, opacity=0.7, hoverinfo="skip")
        )
        traces.append(_trials(style, shown, keep, x, names))
        traces.append(legend_only(style))
    hollow = "hollow: drawn at random; " if any(each.control for each in complete) else ""
    caption = [
        "One mark a complete trial of the search (pruned trials have early scores and are left "
        f"out); {hollow}large: finalists, or the best trial where there are none.",
        f"The dotted line is {frontier}: a best of many, which flatters the arm with more tries.",
        *more,
    ]
    if drawn < len(complete):
        caption.append(
            f"{count(drawn)} of {count(len(complete))} trials are drawn, evenly over the ranks of "
            "each arm, finalists included."
        )
    span = clipped([each.value for each in complete if each.value is not None], figures.metric)
    if span:
        caption.append(_CUT)
    axes = layout(
        label,
        f"validation {figures.metric.name}",
        xaxis=logarithmic([x(each) for each in complete]),
        yaxis={"range": span} if span else {},
    )
    return Figure(name, name.capitalize(), title, tuple(caption), traces, axes)


def logarithmic(values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis with its ticks at 1, 2 and 5 (or closer), written out."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.04 * (high - low), 0.03)
    exponents = range(math.floor(low) - 1, math.ceil(high) + 1)
    digits = (1, 2, 5) if high - low > 0.8 else (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    ticks = [digit * 10.0**exponent for exponent in exponents for digit in digits]
    return {
        "type": "log",
        "range": [low - margin, high + margin],
        "tickvals": ticks,
        "ticktext": [f"{tick:,.0f}" if tick >= 10 else f"{tick:.3g}" for tick in ticks],
    }


def _trials(
    style: Style,
    shown: Sequence[TrialResult],
    keep: set[int],
    x: Callable[[TrialResult], float],
    names: Sequence[str],
) -> dict[str, Any]:
    marker = {
        "symbol": [style.symbol + ("-open" if each.control else "") for each in shown],
        "size": [13 if each.number in keep else 7 for each in shown],
        "color": style.colour,
        "line": {
            "width": [2 if each.number in keep else 1 for each in shown],
            "color": ["var(--ink)" if each.number in keep else style.colour for each in shown],
        },
    }
    return marks(style, shown, x, names, marker, 0.85)


def marks(
    style: Style,
    shown: Sequence[TrialResult],
    x: Callable[[TrialResult], float],
    names: Sequence[str],
    marker: dict[str, Any],
    opacity: float,
) -> dict[str, Any]:
    """Return a trace of an arm's trials: their values over x, described when pointed at."""
    return style.trace(
        mode="markers",
        x=[x(each) for each in shown],
        y=[each.value for each in shown],
        text=[described(each, names) for each in shown],
        marker=marker,
        opacity=opacity,
        hovertemplate="%{text}<br>value: %{y:.4f}<extra></extra>",
    )


def _frontier(
    ranked: Sequence[TrialResult], x: Callable[[TrialResult], float]
) -> list[tuple[float, float]]:
    """Return the points (x, best value up to x); `ranked` is best first."""
    steps: list[tuple[float, float]] = []
    smallest = float("inf")
    for record in ranked:
        if record.value is not None and x(record) < smallest:
            smallest = x(record)
            steps.append((smallest, record.value))
    return steps[::-1]


def importances(figures: Comparison, found: dict[str, Importance]) -> Figure:
    """Return the shares of the hyperparameters, a bar for each arm that has them."""
    known = [arm for arm in found.values() if arm.shares]
    totals: dict[str, float] = {}
    for arm in known:
        for share in arm.shares:
            totals[share.name] = totals.get(share.name, 0.0) + share.mean
    order = sorted(totals, key=lambda name: -totals[name])
    traces = []
    for style in styles(figures):
        shares = {share.name: share for share in found[style.name].shares}
        if not shares:
            continue
        rows = [name for name in order if name in shares]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": style.label,
                "y": [html.escape(name) for name in rows],
                "x": [shares[name].mean for name in rows],
                "marker": {"color": style.colour},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [shares[name].high - shares[name].mean for name in rows],
                    "arrayminus": [shares[name].mean - shares[name].low for name in rows],
                    "color": "var(--ink)",
                    "thickness": 1,
                    "width": 3,
                },
                "hovertemplate": f"{style.label}, %{{y}}: %{{x:.2f}}<extra></extra>",
            }
        )
    caption = [
        "Share of the spread of validation values that one hyperparameter alone accounts for "
        "(fANOVA, over the complete trials). The bar is the mean and the whisker the range over "
        "random subsets of four fifths of the trials: where whiskers are long, do not read an "
        "order into the bars. Settings that follow from others share their credit.",
    ]
    for name, arm in found.items():
        if arm.reason:
            caption.append(f"{name}: no importance is shown, {arm.reason}.")
        elif arm.used < arm.trials:
            caption.append(
                f"{name}: from {count(arm.used)} of {count(arm.trials)} complete trials, even over "
                "the search."
            )
    axes = layout(
        "share of the spread of values",
        "",
        xaxis={"range": [0, 1]},
        yaxis={"autorange": "reversed"},
        barmode="group",
    )
    bars = sum(len(trace["x"]) for trace in traces)
    height = min(900, 140 + 22 * bars) if traces else 0
    title = "What mattered in the search"
    return Figure("importance", "Importance", title, tuple(caption), traces, axes, height)
