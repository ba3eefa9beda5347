"""The figure of values against each single setting, a panel a setting."""

from search.report.axes import CLIPPED_FIXED, clipped
from search.report.frame import Figure, empty, styles
from search.report.parallel_figure import finished
from search.report.setting_axes import cost_axis, setting_axes
from search.results.figures import Comparison
from search.results.read import Results

_TITLE = "Value against each setting"
_NOT_FOR = (
    "Not for saying what a setting does alone: in each mark all the other settings differ too, "
    "and a sampler tries good regions more often."
)
_PANEL = 190  #: pixels of its height
_ACROSS = 4  #: panels in a row, on a wide screen


def slices(figures: Comparison, results: Results) -> Figure:
    """Return each complete trial's value over each setting that varies."""
    trials = finished(results.search)
    axes = setting_axes(trials, results)
    if not axes:
        reason = "Fewer than two complete trials have settings that differ."
        return empty("slices", "Slices", _TITLE, reason)
    values = [trial.value for trial in trials if trial.value is not None]
    span = clipped(values, figures.metric)
    value_axis = cost_axis("value", values).as_dict()
    if span:
        value_axis |= {"kind": "linear", "low": span[0], "high": span[1]}
    caption = (
        "One mark a complete trial of the search; filled: drawn at random (controls). Lines are "
        "medians of an arm's controls within a stretch of the setting, where there are enough of "
        "them.",
        *([CLIPPED_FIXED] if span else []),
    )
    given = {
        "axes": [each.as_dict() for each in axes],
        "value": value_axis,
        "arms": [{"name": style.name, "colour": style.colour} for style in styles(figures)],
        "metric": figures.metric.name,
    }
    height = 40 + _PANEL * -(-len(axes) // _ACROSS)
    return Figure(
        "slices",
        "Slices",
        _TITLE,
        caption,
        [],
        {},
        height,
        _NOT_FOR,
        drawer="slices",
        given=given,
    )
