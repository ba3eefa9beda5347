"""Trials as marks: which of many are drawn, in which order, and what a mark says of its trial."""

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from search.journal.trial import TrialResult
from search.report.frame import Style
from search.results.format import count, plain, plural, seconds
from search.results.ranking import search_rank
from spaces.kinds import Metric

#: More trials than this are drawn as an even sample of their ranks, and the caption says so.
POINTS = 1500


def of_arm(trials: Iterable[TrialResult], style: Style, metric: Metric) -> list[TrialResult]:
    """Return an arm's trials in any state by search rank; those without a value come last."""
    ours = (trial for trial in trials if trial.arm == style.name)
    return sorted(ours, key=lambda trial: search_rank(metric, trial))


def complete(trials: Iterable[TrialResult], x: Callable[[TrialResult], float]) -> list[TrialResult]:
    """Return the complete trials that have a place on a logarithmic axis."""
    return [
        trial
        for trial in trials
        if trial.state == "complete" and trial.value is not None and x(trial) > 0
    ]


def sample(ranked: Sequence[TrialResult], most: int, always: set[int]) -> list[TrialResult]:
    """Return about `most` trials at most, even over their ranks.

    always: numbers of trials that are in the sample in any case.
    """
    if len(ranked) <= most:
        return list(ranked)
    chosen = {index * len(ranked) // most for index in range(most)}
    return [trial for rank, trial in enumerate(ranked) if rank in chosen or trial.number in always]


def sampled(drawn: int, trials: int, things: str, included: str) -> list[str]:
    """Return what a caption says about a sample; nothing where all trials are drawn."""
    if drawn == trials:
        return []
    return [
        f"{count(drawn)} of {count(trials)} {things} are drawn, evenly over the ranks of each arm, "
        f"{included} included."
    ]


def marks(
    style: Style,
    trials: Sequence[TrialResult],
    x: Callable[[TrialResult], float],
    settings: Sequence[str],
    *,
    marker: dict[str, Any],
    opacity: float,
) -> dict[str, Any]:
    """Return a trace of an arm's trials: their values over x, described when pointed at.

    settings: the names of the settings that the description shows.
    """
    return style.trace(
        mode="markers",
        x=[x(trial) for trial in trials],
        y=[trial.value for trial in trials],
        text=[_description(trial, settings) for trial in trials],
        marker=marker,
        opacity=opacity,
        hovertemplate="%{text}<br>value: %{y:.4f}<extra></extra>",
    )


def _description(trial: TrialResult, settings: Sequence[str]) -> str:
    lines = [f"<b>{html.escape(trial.arm)}, trial {trial.number}</b>"]
    if trial.control:
        lines.append("drawn at random, never pruned")
    lines += [html.escape(f"{name}: {plain(getattr(trial.config, name))}") for name in settings]
    lines += [f"parameters: {count(trial.parameters)}"]
    lines += [f"{plural(trial.epochs, 'epoch')} in {seconds(trial.train_seconds)}"]
    return "<br>".join(lines)
