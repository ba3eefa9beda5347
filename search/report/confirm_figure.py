"""The figure of the confirm phase: every replicate's test value."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from search.report.frame import Figure, layout, styles
from search.results.figures import Comparison
from search.results.format import value


def confirmed(figures: Comparison) -> Figure | None:
    """Return every replicate's test value, with mean and deviation; None where there are none."""
    if not any(finalist.test for arm in figures.arms for finalist in arm.finalists):
        return None
    traces: list[dict[str, Any]] = []
    labels: list[str] = []
    leaders: list[tuple[int, dict[int, float]]] = []
    offsets = _offsets(figures)
    for style in styles(figures):
        arm = figures.arm(style.name)
        for finalist in (each for each in arm.finalists if each.test):
            assert finalist.test is not None
            position = len(labels)
            alone = len(arm.finalists) == 1
            labels.append(style.label if alone else f"{style.label}<br>trial {finalist.number}")
            done = {
                each.replicate: each.test for each in finalist.replicates if each.test is not None
            }
            if finalist.leads:
                leaders.append((position, done))
            traces.append(
                style.trace(
                    mode="markers",
                    x=[position + offsets[number] for number in done],
                    y=list(done.values()),
                    text=[f"{style.label}, replicate {number}" for number in done],
                    marker={"symbol": style.symbol, "color": style.colour, "size": 8},
                    opacity=0.75,
                    showlegend=finalist.leads,
                    hovertemplate="%{text}: %{y:.4f}<extra></extra>",
                )
            )
            mean, deviation = finalist.test.mean, finalist.test.deviation or 0.0
            traces.append(
                style.trace(
                    mode="markers",
                    x=[position + 0.36],
                    y=[mean],
                    marker={
                        "symbol": "line-ew",
                        "size": 22,
                        "line": {"width": 3, "color": style.colour},
                    },
                    error_y={
                        "type": "data",
                        "array": [deviation],
                        "visible": deviation > 0,
                        "color": style.colour,
                        "thickness": 2,
                        "width": 6,
                    },
                    hovertemplate=f"{style.label}: {value(mean)} ± {value(deviation)}"
                    "<extra></extra>",
                )
            )
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
    caption = (
        "Each mark is one finalist trained again from scratch with a fresh seed and scored on test "
        "data at its best validation epoch. The bar is the mean, its whiskers one standard "
        "deviation of the runs (not of the mean). Thin lines join the runs of equal replicate "
        "number, which share their seed. A finalist is chosen to stand for its arm by validation "
        "data alone.",
    )
    pairs = [_pairs(offsets, leaders)] if len(leaders) > 1 else []
    title = "Confirmed with fresh seeds"
    return Figure("confirm", "Confirmed", title, caption, pairs + traces, axes)


def _offsets(figures: Comparison) -> list[float]:
    """Return where each replicate stands beside its arm's tick: side by side, none hidden."""
    finalists = [each for arm in figures.arms for each in arm.finalists]
    slots = 1 + max(each.replicate for finalist in finalists for each in finalist.replicates)
    return [0.4 * (number / max(1, slots - 1) - 0.5) for number in range(slots)]


def _pairs(
    offsets: Sequence[float], leaders: Sequence[tuple[int, dict[int, float]]]
) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for (here, ours), (there, theirs) in pairwise(leaders):
        for number in sorted(ours.keys() & theirs.keys()):
            xs += [here + offsets[number], there + offsets[number], None]
            ys += [ours[number], theirs[number], None]
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
