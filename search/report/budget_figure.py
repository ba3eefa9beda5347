"""The figure of the best of n control trials against n, with bands, and what it tells of arms."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.job.commands import command
from search.report.axes import CLIPPED, around, clipped
from search.report.frame import Figure, Style, empty, layout, legend_only, styles
from search.results.controls import control_values
from search.results.evidence.bands import FEWEST, MOST, BestOf
from search.results.evidence.crossing import Contrast, contrasts, curves
from search.results.figures import Comparison
from search.results.format import count, plural, value
from search.results.read import Results
from spaces.text import listed

_TITLE = "Best value against budget"
_NOT_FOR = (
    "Not for saying what a sampler finds with so many trials (it learns from them; controls do "
    "not), nor for other data or another split (one validation part decides), nor for budgets "
    "beyond the curves' ends."
)
_TICKS = 10


def best_against_budget(figures: Comparison, results: Results) -> Figure:
    """Return the median best of n controls for each arm that has enough of them."""
    metric, confidence = figures.metric, figures.verdict.confidence
    controls = control_values(results.search, results.arms)
    found = curves(
        controls, maximize=metric.maximize, confidence=confidence, ceiling=metric.ceiling
    )
    short = {arm: len(controls[arm]) for arm in results.arms if arm not in found}
    if not found:
        return empty(
            "budget", "Budget", f"{_TITLE}: too few control trials", _refused(short, results)
        )
    told = contrasts(found, maximize=metric.maximize)
    ends = [
        side
        for curve in found.values()
        for best in curve
        for side in (best.value, best.worse, best.better)
        if math.isfinite(side)
    ]
    if not ends:
        return empty("budget", "Budget", _TITLE, "Every control trial diverged.")
    span = clipped(ends, metric)
    cut = span is not None
    span = span or around(ends, 0.08)
    looks = [style for style in styles(figures) if style.name in found]
    traces = [_band(style, found[style.name], span) for style in looks]
    for style in looks:
        traces += [_curve(style, found[style.name]), legend_only(style)]
    epochs = results.job.training.max_epochs
    caption = (
        f"The line is the median of the best validation {metric.name} of n control trials: drawn "
        "at random, never stopped, a diverged one counted as worst.",
        " ".join(_sentences(told, found)),
        _explanation(figures, epochs),
        *([_refused(short, results)] if short else []),
        *_remarks(figures, controls),
        *([CLIPPED] if cut else []),
    )
    axes = layout(
        "control trials (below: epochs, at most)",
        f"best validation {metric.name}",
        xaxis=_budgets(max(map(len, found.values())), epochs),
        yaxis={"range": span},
    )
    return Figure(
        "budget", "Budget", _title(told), tuple(filter(None, caption)), traces, axes, 420, _NOT_FOR
    )


def _title(told: Sequence[Contrast]) -> str:
    """Return what the figure tells of the arms."""
    known = [pair for pair in told if any(pair.ahead)]
    if not told:
        return _TITLE
    if not known:
        return f"{_TITLE}: cannot tell the arms apart"
    if len(told) == 1:
        return f"{_TITLE}: {_said(known[0])}"
    crossings = sum(bool(pair.crossings) for pair in known)
    crossed = f", {plural(crossings, 'crossing')}" if crossings else ""
    return f"{_TITLE}: {len(known)} of {len(told)} pairs of arms told apart{crossed}"


def _sentences(told: Sequence[Contrast], found: Mapping[str, Sequence[BestOf]]) -> Iterator[str]:
    for pair in told:
        if any(pair.ahead):
            yield f"{_said(pair)}."
    if told and not any(pair.crossings for pair in told):
        yield "Whether curves cross cannot be told."
    overlap = [f"{pair.first} and {pair.second}" for pair in told if not any(pair.ahead)]
    if overlap:
        most = max(map(len, found.values()))
        yield (
            f"Cannot tell, since the bands overlap at every number of controls up to {most}: "
            f"{'; '.join(overlap)}."
        )


def _said(pair: Contrast) -> str:
    """Return where each of two arms is ahead, and between which numbers of controls they cross."""
    both = (pair.first, pair.second)
    arms = sorted((arm for arm in both if arm in pair.ahead), key=pair.stretches)
    where = [f"with {_numbers(pair.stretches(arm))}" for arm in arms]
    if len(arms) == 1:
        other = pair.second if arms[0] == pair.first else pair.first
        return f"{arms[0]} is ahead of {other} {where[0]}"
    between = listed(f"between {first} and {last}" for first, last in pair.crossings)
    ahead = listed(f"{arm} is ahead {at}" for arm, at in zip(arms, where, strict=True))
    return f"{ahead}: the curves cross {between}"


def _numbers(stretches: Sequence[tuple[int, int]]) -> str:
    shown = [str(low) if low == high else f"{low} to {high}" for low, high in stretches]
    return "1 control" if shown == ["1"] else f"{listed(shown)} controls"


def _explanation(figures: Comparison, epochs: int) -> str:
    return (
        "The bands hold for all "
        f"arms and all n at once with {100 * figures.verdict.confidence:g} %; where one runs to "
        "the edge, the controls do not bound it on that side. An arm is ahead where its band lies "
        "wholly on the better side of the other's. "
        f"A curve ends at a quarter of its arm's controls; one of them takes up to "
        f"{plural(epochs, 'epoch')}."
    )


def _remarks(figures: Comparison, controls: Mapping[str, Sequence[float | None]]) -> Iterator[str]:
    if any(len(values) > MOST for values in controls.values()):
        yield f"The first {MOST} controls of each arm are used."
    if figures.progress == "searching":
        yield "The search goes on: the controls that take longest are not in the curves yet."


def _refused(short: Mapping[str, int], results: Results) -> str:
    """Return why arms have no curve, and what to do about it."""
    have = listed(f"{arm} {count(number)}" for arm, number in short.items())
    return (
        f"No curve for arms with fewer than {FEWEST} control trials ({have}): a band from so few "
        f"would be wrong or say nothing. {_remedy(min(short.values()), results)}"
    )


def _remedy(fewest: int, results: Results) -> str:
    search = results.job.search
    reach = f"{FEWEST} give a curve up to the best of {FEWEST // 4}, 4 n one up to the best of n"
    if search.trials is not None and search.control_fraction > 0:
        more = math.ceil((FEWEST - fewest) / search.control_fraction)
        extend = command("extend", results.folder)
        return f"`{extend} --trials {more}` draws the missing ones; {reach}."
    return f"A job with search: {{control_fraction: 0.5}} draws more of them; {reach}."


def _curve(style: Style, curve: Sequence[BestOf]) -> dict[str, Any]:
    return style.trace(
        mode="lines+markers",
        x=[best.n for best in curve],
        y=[best.value if math.isfinite(best.value) else None for best in curve],
        text=[_described(style, best) for best in curve],
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker={"symbol": style.symbol, "color": style.colour, "size": 7},
        hovertemplate="%{text}<extra></extra>",
    )


def _described(style: Style, best: BestOf) -> str:
    median, worse, better = (
        value(side) if math.isfinite(side) else "none"
        for side in (best.value, best.worse, best.better)
    )
    return f"{style.label}, best of {best.n}: {median}<br>band: {worse} to {better}"


def _band(style: Style, curve: Sequence[BestOf], span: Sequence[float]) -> dict[str, Any]:
    """Return an arm's band as an area; an infinite side lies beyond the edge of the axis."""
    width = span[1] - span[0]
    low, high = span[0] - width, span[1] + width
    across = [best.n for best in curve]
    worse = [min(max(best.worse, low), high) for best in curve]
    better = [min(max(best.better, low), high) for best in curve]
    return style.band(across, worse, better, 0.15)


def _budgets(most: int, epochs: int) -> dict[str, Any]:
    """Return the axis of n, with the epochs of n controls below."""
    step = max(1, math.ceil(most / _TICKS))
    ticks = sorted({1, *range(step, most + 1, step)})
    return {
        "range": [0.6, most + 0.4],
        "tickvals": ticks,
        "ticktext": [f"{tick}<br>{tick * epochs:,}" for tick in ticks],
    }
