"""The figure of the hyperparameters' importance."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.report.frame import Figure, Style, layout, styles
from search.results.figures import Comparison
from search.results.format import count
from search.results.importance import Importance

_NOT_FOR = (
    "Not for leaving a setting out of a search: a share holds within this space and for the "
    "trials that were made in it."
)


def importances(figures: Comparison, found: Mapping[str, Importance]) -> Figure:
    """Return the shares of the hyperparameters, a bar for each arm that has them.

    found: by arm.
    """
    totals: dict[str, float] = {}
    for importance in found.values():
        for share in importance.shares:
            totals[share.name] = totals.get(share.name, 0.0) + share.mean
    order = sorted(totals, key=lambda name: -totals[name])
    traces = [
        _bars(style, found[style.name], order)
        for style in styles(figures)
        if found[style.name].shares
    ]
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
    caption = tuple(_caption(found))
    return Figure("importance", "Importance", title, caption, traces, axes, height, _NOT_FOR)


def _bars(style: Style, importance: Importance, order: Sequence[str]) -> dict[str, Any]:
    known = {share.name: share for share in importance.shares}
    shares = [known[name] for name in order if name in known]
    return {
        "type": "bar",
        "orientation": "h",
        "name": style.label,
        "y": [html.escape(share.name) for share in shares],
        "x": [share.mean for share in shares],
        "marker": {"color": style.colour},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [share.high - share.mean for share in shares],
            "arrayminus": [share.mean - share.low for share in shares],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 3,
        },
        "hovertemplate": f"{style.label}, %{{y}}: %{{x:.2f}}<extra></extra>",
    }


def _caption(found: Mapping[str, Importance]) -> Iterator[str]:
    yield (
        "Share of the spread of validation values that one hyperparameter alone accounts for "
        "(fANOVA, over the complete trials). The bar is the mean and the whisker the range over "
        "random subsets of four fifths of the trials: where whiskers are long, do not read an "
        "order into the bars. Settings that follow from others share their credit."
    )
    for arm, importance in found.items():
        if importance.reason:
            yield f"{arm}: no importance is shown, {importance.reason}."
        elif importance.used < importance.trials:
            yield (
                f"{arm}: from {count(importance.used)} of {count(importance.trials)} complete "
                "trials, even over the search."
            )
