"""The figure of values over an arm's two most important settings, a panel an arm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.journal.trial import TrialResult
from search.report.axes import around, clipped
from search.report.frame import Figure, Style, empty, styles
from search.report.setting_axes import SettingAxis, setting_axis
from search.results.figures import Comparison
from search.results.format import plain, value
from search.results.importance import Importance, sample
from search.results.read import Results
from spaces.text import listed

_TITLE = "Value over the two settings that mattered most"
_NOT_FOR = (
    "Not for reading values off: they are means over neighbouring trials in which all the other "
    "settings differ."
)
_CELLS = 40  #: of a side of the area
_WIDTH = 0.1  #: deviation of the neighbourhood, where 1 is all of an axis
_LEAST = 0.6  #: trials that a mean is of, at least; elsewhere the area is empty
_PANEL = 330
_LISTED = 3  #: arms that the title names

Floats = NDArray[np.float64]


def contours(figures: Comparison, results: Results, shares: Mapping[str, Importance]) -> Figure:
    """Return the local means of values for each arm of which two settings are known to matter."""
    looks = [style for style in styles(figures) if len(shares[style.name].shares) > 1]
    if not looks:
        reason = "Of no arm it is known which two settings matter: see the figure of importance."
        return empty("contours", "Contours", _TITLE, reason)
    rows = {id(trial): row for row, trial in enumerate(results.trials)}
    used = {
        style.name: sample([trial for trial in results.search if trial.arm == style.name])
        for style in looks
    }
    known = [t.value for own in used.values() for t in own if _scored(t) and t.value is not None]
    ends = clipped(known, figures.metric) or around(known, 0.0)
    worst, best = sorted(ends, key=figures.metric.cost, reverse=True)
    panels, found = [], []
    for style in looks:
        first, second = (share.names[0] for share in shares[style.name].shares[:2])
        panel, at = _panel(style, used[style.name], (first, second), (worst, best), results)
        panel["rows"] = [rows[id(trial)] for trial in used[style.name] if _scored(trial)]
        panels.append(panel)
        found.append((first, second, f"{at[0]}, {at[1]} ({style.name})"))
    caption = (
        f"The deeper the colour, the better the mean validation {figures.metric.name} of "
        f"neighbouring trials, from {value(worst)} to {value(best)}. Marks are the trials. "
        "Empty: no trial is near.",
        "Trials are the controls, or all complete ones where an arm has too few controls. Diverged "
        "controls count as the worst value of the scale.",
    )
    return Figure(
        "contours",
        "Contours",
        _title(found),
        caption,
        [],
        {},
        _PANEL * -(-len(panels) // 3),
        _NOT_FOR,
        drawer="contours",
        given={"panels": panels, "panel": _PANEL},
    )


def _title(found: Sequence[tuple[str, str, str]]) -> str:
    """Return where values are best, where the same two settings matter in every arm."""
    settings = {(first, second) for first, second, _ in found}
    if len(settings) > 1:
        return _TITLE
    ((first, second),) = settings
    shown = listed([at for _, _, at in found[:_LISTED]])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"Value over {first} and {second}: best near {shown}{more}"


def _scored(trial: TrialResult) -> bool:
    return trial.state == "complete" and trial.value is not None


def _panel(
    style: Style,
    trials: Sequence[TrialResult],
    names: tuple[str, str],
    ends: tuple[float, float],
    results: Results,
) -> tuple[dict[str, Any], tuple[str, str]]:
    """Return an arm's panel, and the settings where values are best."""
    settings = [[getattr(trial.config, name) for trial in trials] for name in names]
    axes = [setting_axis(name, own, results) for name, own in zip(names, settings, strict=True)]
    places = [
        np.array([each.place(setting) for setting in own])
        for each, own in zip(axes, settings, strict=True)
    ]
    worst, best = ends
    values = [trial.value if _scored(trial) else None for trial in trials]
    good = np.array([0.0 if v is None else (v - worst) / (best - worst) for v in values])
    area = _smooth(places[0], places[1], np.clip(good, 0.0, 1.0))
    column, row = np.unravel_index(int(np.nanargmax(area)), area.shape)
    panel = {
        "arm": style.name,
        "colour": style.colour,
        "axes": [each.as_dict() for each in axes],
        "area": [[None if np.isnan(z) else round(float(z), 3) for z in line] for line in area],
    }
    return panel, (_at(axes[0], int(column)), _at(axes[1], int(row)))


def _smooth(x: Floats, y: Floats, good: Floats) -> Floats:
    """Return means over neighbours on a square of cells [x, y], NaN where there are none."""
    centres = (np.arange(_CELLS) + 0.5) / _CELLS
    near_x = np.exp(-(((centres[:, None] - x) / _WIDTH) ** 2) / 2)
    near_y = np.exp(-(((centres[:, None] - y) / _WIDTH) ** 2) / 2)
    number = near_x @ near_y.T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (near_x * good) @ near_y.T / number
    return np.where(number >= _LEAST, means, np.nan)


def _at(along: SettingAxis, cell: int) -> str:
    """Return the setting in the middle of a cell, with two significant digits."""
    place = (cell + 0.5) / _CELLS
    if along.kind == "options":
        return plain(along.options[min(int(place * len(along.options)), len(along.options) - 1)])
    if along.kind == "log":
        return f"{along.low * (along.high / along.low) ** place:.2g}"
    return f"{along.low + (along.high - along.low) * place:.2g}"
