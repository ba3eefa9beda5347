"""Axes of single settings, for figures that the page's script draws from the trials' rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Literal

from search.journal.trial import TrialResult
from search.report.tables import setting_cell
from search.results.read import Results
from search.results.settings import varying
from spaces.config import TrialConfig
from spaces.domains import Domain, Range

_FEW = 6  #: values of no more different numbers stand side by side, like names


@dataclass(frozen=True)
class SettingAxis:
    """How a column of the trials' rows is laid out along an axis."""

    name: str  #: of the column
    kind: Literal["linear", "log", "options"]
    low: float = 0.0
    high: float = 1.0
    options: tuple[Any, ...] = ()  #: as they stand in the rows, in their order

    def as_dict(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        place = {"name": self.name, "kind": self.kind}
        if self.kind == "options":
            return {**place, "options": list(self.options)}
        return {**place, "low": self.low, "high": self.high}

    def place(self, setting: Any) -> float:
        """Return where a setting lies, for distances between trials: 1 is all of the axis."""
        if self.kind == "options":
            return (self.options.index(setting_cell(setting)) + 0.5) / len(self.options)
        low, high, at = self.low, self.high, float(setting)
        if self.kind == "log":
            low, high, at = log(low), log(high), log(at)
        return (at - low) / (high - low)


def setting_axes(trials: Sequence[TrialResult], results: Results) -> list[SettingAxis]:
    """Return an axis for each setting that varies over some trials of an arm."""
    own = [[trial.config for trial in trials if trial.arm == arm] for arm in results.arms]
    names = {name for configs in own if configs for name in varying(configs)}
    return [
        setting_axis(name, [getattr(trial.config, name) for trial in trials], results)
        for name in TrialConfig.model_fields
        if name in names
    ]


def setting_axis(name: str, values: Sequence[Any], results: Results) -> SettingAxis:
    """Return the axis of one setting, from the values that it has."""
    cells = {setting_cell(value) for value in values}
    numbers = [cell for cell in cells if not isinstance(cell, str)]
    ranges = [domain for domain in _domains(name, results) if isinstance(domain, Range)]
    few = len(cells) <= _FEW and not any(not domain.integer for domain in ranges)
    if few or len(numbers) < len(cells) or len(cells) == 1:
        ordered = [*sorted(numbers), *sorted(cell for cell in cells if isinstance(cell, str))]
        return SettingAxis(name, "options", options=tuple(ordered))
    low, high = float(min(numbers)), float(max(numbers))
    kind: Literal["linear", "log"] = "log" if any(domain.log for domain in ranges) else "linear"
    return SettingAxis(name, kind, low, high)


def cost_axis(name: str, values: Sequence[float]) -> SettingAxis:
    """Return the axis of another column of numbers; logarithmic where they differ tenfold."""
    low, high = min(values), max(values)
    kind: Literal["linear", "log"] = "log" if low > 0 and high >= 10 * low else "linear"
    return SettingAxis(name, kind, float(low), float(high))


def _domains(name: str, results: Results) -> Iterator[Domain]:
    """Yield what the arms try of a setting; a pooled arm has names of its own for it."""
    for arm in results.job.arms:
        for key, domain in arm.domains().items():
            if key.endswith(name):
                yield domain
