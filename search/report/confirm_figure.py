"""The figure of the confirm phase: every replicate's test value."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from search.report.frame import Figure, Style, layout, styles
from search.results.figures import Comparison, Finalist
from search.results.format import value
from search.spread import Spread

_CAPTION = (
    "Each mark is one finalist trained again from scratch with a fresh seed and scored on test "
    "data at its best validation epoch. The bar is the mean, its whiskers one standard "
    "deviation of the runs (not of the mean).",
    "Thin lines join the runs of equal replicate number, which share their seed. A finalist is "
    "chosen to stand for its arm by validation data alone.",
)

_NOT_FOR = "Not for saying by eye which arm is better: the verdict weighs the pairs."


def confirmed(figures: Comparison) -> Figure | None:
    """Return every replicate's test value, with mean and deviation; None where there are none."""
    traces: list[dict[str, Any]] = []
    labels: list[str] = []
    leading: list[tuple[int, dict[int, float]]] = []  #: positions and test values by replicate
    offsets = _offsets(figures)
    for style in styles(figures):
        finalists = figures.arm(style.name).finalists
        for finalist in finalists:
            if finalist.test is None:
                continue
            position = len(labels)
            alone = len(finalists) == 1
            labels.append(style.label if alone else f"{style.label}<br>trial {finalist.number}")
            tests = _tests(finalist)
            if finalist.leads:
                leading.append((position, tests))
            xs = [position + offsets[replicate] for replicate in tests]
            traces.append(_replicates(style, xs, tests, legend=finalist.leads))
            traces.append(_mean(style, position, finalist.test))
    if not traces:
        return None
    if len(leading) > 1:
        traces.insert(0, _pairs(offsets, leading))
    axes = layout(
        "",
        f"test {figures.metric.name}",
        xaxis={
            "tickvals": list(range(len(labels))),
            "ticktext": labels,
            "range": [-0.6, len(labels) - 0.4],
            "showgrid": False,
        },
    )
    title = _title(figures)
    return Figure("confirm", "Confirmed", title, _CAPTION, traces, axes, not_for=_NOT_FOR)


def _title(figures: Comparison) -> str:
    """Return the means of the arms' leaders; of many arms, the best and the worst one."""
    means = {
        arm.name: arm.leading.test.mean for arm in figures.arms if arm.leading and arm.leading.test
    }
    ordered = sorted(means, key=lambda arm: figures.metric.cost(means[arm]))
    shown = [f"{value(means[arm])} ({arm})" for arm in ordered]
    said = f"means from {shown[0]} to {shown[-1]}" if len(shown) > 1 else f"mean {shown[0]}"
    return f"Confirmed with fresh seeds: {said}" if shown else "Confirmed with fresh seeds"


def _tests(finalist: Finalist) -> dict[int, float]:
    return {
        replicate.replicate: replicate.test
        for replicate in finalist.replicates
        if replicate.test is not None
    }


def _offsets(figures: Comparison) -> list[float]:
    """Return where each replicate stands beside its arm's tick: side by side, none hidden."""
    slots = 1 + max(
        (
            replicate.replicate
            for arm in figures.arms
            for finalist in arm.finalists
            for replicate in finalist.replicates
        ),
        default=0,
    )
    return [0.4 * (slot / max(1, slots - 1) - 0.5) for slot in range(slots)]


def _replicates(
    style: Style, xs: list[float], tests: Mapping[int, float], *, legend: bool
) -> dict[str, Any]:
    return style.trace(
        mode="markers",
        x=xs,
        y=list(tests.values()),
        text=[f"{style.label}, replicate {replicate}" for replicate in tests],
        marker={"symbol": style.symbol, "color": style.colour, "size": 8},
        opacity=0.75,
        showlegend=legend,
        hovertemplate="%{text}: %{y:.4f}<extra></extra>",
    )


def _mean(style: Style, position: int, test: Spread) -> dict[str, Any]:
    deviation = test.deviation or 0.0
    bar = {"width": 3, "color": style.colour}
    return style.trace(
        mode="markers",
        x=[position + 0.36],
        y=[test.mean],
        marker={"symbol": "line-ew", "size": 22, "line": bar},
        error_y={
            "type": "data",
            "array": [deviation],
            "visible": deviation > 0,
            "color": style.colour,
            "thickness": 2,
            "width": 6,
        },
        hovertemplate=f"{style.label}: {value(test.mean)} ± {value(deviation)}<extra></extra>",
    )


def _pairs(
    offsets: Sequence[float], leading: Sequence[tuple[int, Mapping[int, float]]]
) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for (here, ours), (there, theirs) in pairwise(leading):
        for replicate in sorted(ours.keys() & theirs.keys()):
            xs += [here + offsets[replicate], there + offsets[replicate], None]
            ys += [ours[replicate], theirs[replicate], None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": {"color": "var(--muted)", "width": 1},
        "opacity": 0.45,
        "name": "same seed",
        "legendrank": 2000,
        "showlegend": True,
        "hoverinfo": "skip",
    }
