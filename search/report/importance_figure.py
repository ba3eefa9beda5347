"""The figure of what settings explain of the values of controls, alone and two together."""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.report.frame import Figure, Style, layout, styles
from search.results.figures import Comparison
from search.results.format import count
from search.results.importance import Importance, Share
from spaces.text import listed

_NOT_FOR = (
    "Not for leaving a setting out of a search: a share holds within this space and for the "
    "trials that were made in it."
)
_TITLE = "What mattered in the search"
_LEAST = 0.01  #: a setting or pair that explains less of every arm's values has no bar
_PAIRS = 4  #: pairs of settings that have bars


def importances(figures: Comparison, found: Mapping[str, Importance]) -> Figure:
    """Return the shares of settings and of pairs of them, a bar for each arm that has them.

    found: by arm.
    """
    alone = _order([importance.shares for importance in found.values()])
    pairs = _order([importance.interactions for importance in found.values()])[:_PAIRS]
    order = [*alone, *pairs]
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
    height = min(900, 140 + 18 * bars) if traces else 0
    caption = tuple(_caption(found))
    title = _title(found)
    return Figure("importance", "Importance", title, caption, traces, axes, height, _NOT_FOR)


def _title(found: Mapping[str, Importance]) -> str:
    """Return which setting matters most in which arm."""
    first = {arm: each.shares[0] for arm, each in found.items() if each.shares}
    arms_of: dict[str, list[str]] = {}
    for arm, share in first.items():
        arms_of.setdefault(share.label, []).append(f"{arm} {100 * share.mean:.0f} %")
    if not first:
        return _TITLE
    if len(arms_of) == 1 and len(first) > 2:
        (name,) = arms_of
        means = sorted(100 * share.mean for share in first.values())
        return f"{_TITLE}: {name} most, in every arm ({means[0]:.0f} to {means[-1]:.0f} %)"
    said = (f"{name} most ({listed(arms)})" for name, arms in arms_of.items())
    return f"{_TITLE}: {listed(said)}"


def _order(shares: Sequence[Sequence[Share]]) -> list[str]:
    """Return what is worth a bar, by the sum of its shares over arms, largest first."""
    totals: dict[str, float] = {}
    for own in shares:
        for share in own:
            totals[share.label] = totals.get(share.label, 0.0) + share.mean
    largest = {share.label for own in shares for share in own if share.mean >= _LEAST}
    return sorted(largest, key=lambda name: (-totals[name], name))


def _bars(style: Style, importance: Importance, order: Sequence[str]) -> dict[str, Any]:
    known = {share.label: share for share in (*importance.shares, *importance.interactions)}
    shares = [known[name] for name in order if name in known]
    return {
        "type": "bar",
        "orientation": "h",
        "name": style.label,
        "legendgroup": f"arm-{style.position}",
        "y": [html.escape(share.label) for share in shares],
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
        "Share of the spread of values (as ranks, a diverged trial being worst) that one setting "
        "accounts for alone, and two (×) beyond that."
    )
    for arm, importance in found.items():
        if importance.reason:
            yield f"{arm}: no importance is shown, {importance.reason}."
        else:
            said = f"{arm}: from {count(importance.trials)}"
            told = f"{100 * importance.explained:.0f} % of the spread of trials left out"
            if importance.controls:
                yield f"{said} controls, drawn at random; the model explains {told}."
            else:
                yield (
                    f"{said} complete trials, since it has too few controls: where the sampler "
                    f"hardly went, a setting looks unimportant. The model explains {told}."
                )
    yield (
        "The method is fANOVA of a forest. The bar is the mean and the whisker the range over "
        "forests of four fifths of the trials: where whiskers are long, do not read an "
        "order into the bars. Settings that follow from others share their credit; pairs are the "
        f"{_PAIRS} that explain most."
    )
