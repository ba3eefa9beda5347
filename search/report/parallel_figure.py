"""The figure of all complete trials over all their settings: parallel coordinates.

The page's script draws it from the rows of the trials table, which the page has anyway.
"""

from collections.abc import Sequence

from search.journal.trial import TrialResult
from search.report.frame import Figure, empty, styles
from search.report.setting_axes import SettingAxis, cost_axis, setting_axes
from search.results.figures import Comparison
from search.results.ranking import ranked
from search.results.read import Results

_TITLE = "Trials over their settings"
_NOT_FOR = (
    "Not for saying what a setting does: a sampler tries good regions more often, and settings "
    "change together."
)

_FEWEST = 10  #: of the best trials, for the title to say something of them
_AGREED = 0.5  #: of an axis, that the best trials do not leave


def parallel(figures: Comparison, results: Results) -> Figure:
    """Return one line a complete trial of the search, across its settings, costs and value."""
    trials = finished(results.search)
    settings = setting_axes(trials, results)
    if not settings:
        reason = "Fewer than two complete trials have settings that differ."
        return empty("parallel", "Settings", _TITLE, reason)
    axes = [
        *settings,
        *_costs(trials),
        cost_axis("value", [trial.value for trial in trials if trial.value is not None]),
    ]
    caption = (
        "One line a complete trial of the search. Drag along an axis to choose a range, click the "
        "axis to let it go; the lines in colour are those within all ranges and among the best of "
        "their arm.",
        "Ranges on several axes hold together. Pruned trials have early scores and are left out.",
    )
    given = {
        "axes": [each.as_dict() for each in axes],
        "arms": [{"name": style.name, "colour": style.colour} for style in styles(figures)],
        "maximize": figures.metric.maximize,
        "metric": figures.metric.name,
    }
    return Figure(
        "parallel",
        "Settings",
        _title(figures, trials, settings),
        caption,
        [],
        {},
        440,
        _NOT_FOR,
        drawer="parallel",
        given=given,
    )


def _title(
    figures: Comparison, trials: Sequence[TrialResult], settings: Sequence[SettingAxis]
) -> str:
    """Return the setting that the best tenth of each arm's trials agrees on most, if on any."""
    best: list[TrialResult] = []
    for arm in figures.arms:
        own = ranked(figures.metric, [trial for trial in trials if trial.arm == arm.name])
        best += own[: len(own) // 10]
    found = []
    for axis in settings:
        if axis.kind != "options" and best:
            chosen = sorted(getattr(trial.config, axis.name) for trial in best)
            width = axis.place(chosen[-1]) - axis.place(chosen[0])
            found.append((width, axis.name, f"{chosen[0]:.2g}", f"{chosen[-1]:.2g}"))
    width, name, low, high = min(found, default=(1.0, "", "", ""))
    if len(best) < _FEWEST or width > _AGREED:
        return _TITLE
    return f"{_TITLE}: the best tenth of each arm has {name} {low} to {high}"


def finished(search: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the complete trials, in any order."""
    return [trial for trial in search if trial.state == "complete" and trial.value is not None]


def _costs(trials: Sequence[TrialResult]) -> list[SettingAxis]:
    costs: dict[str, list[int] | list[float]] = {
        "parameters": [trial.parameters for trial in trials if trial.parameters is not None],
        "seconds": [round(trial.train_seconds, 3) for trial in trials],
    }
    return [cost_axis(name, own) for name, own in costs.items() if len(set(own)) > 1]
