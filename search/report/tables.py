"""Tables that only the report has; the others are those of search.results.tables."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from search.journal.reason import cause
from search.journal.trial import TrialResult
from search.results.figures import Comparison
from search.results.format import ABSENT, count, plain
from search.results.read import Results
from search.results.settings import varying
from search.results.tables import Column, Marked, Table
from spaces.config import TrialConfig
from spaces.tasks import TaskInfo
from trainables.training.measured_path import in_words

_PACKAGES = ("gatesearch", "torch", "ray", "optuna", "mlflow", "numpy", "scikit-learn")
_REASON = 400  #: characters of a failure's reason
_LISTED = 8  #: trials of one failure whose numbers are listed


def configurations(figures: Comparison) -> Table:
    """Return the finalists of all arms side by side, or the arms' best trials before there are any.

    Rows are the settings that differ, all of them where there is one column. A value that is not
    the first column's is strong.
    """
    shown = _side_by_side(figures)
    if not shown:
        return Table("", (), ())
    configs = [config for _, _, config in shown]
    rows: list[tuple[str | Marked, ...]] = []
    for name in varying(configs) if len(shown) > 1 else TrialConfig.model_fields:
        first, *others = (plain(getattr(config, name)) for config in configs)
        marked = (Marked(each, "strong") if each != first else each for each in others)
        rows.append((name, first, *marked))
    rows.append(("search trial", *(str(number) for _, number, _ in shown)))
    # An arm's column is set to the right like figures, though some settings are names.
    columns = (Column("setting", "text"), *(Column(title, "setting") for title, _, _ in shown))
    return Table("", columns, tuple(rows))


def alike(figures: Comparison) -> str:
    """Return the settings that are the same in all of several configurations, as a sentence."""
    configs = [config for _, _, config in _side_by_side(figures)]
    if len(configs) < 2:
        return ""
    different = varying(configs)
    same = [
        f"{name} {plain(getattr(configs[0], name))}"
        for name in TrialConfig.model_fields
        if name not in different
    ]
    return f"Alike in all: {', '.join(same)}." if same else ""


def _side_by_side(figures: Comparison) -> list[tuple[str, int, TrialConfig]]:
    """Return title, search trial and configuration of each column."""
    shown: list[tuple[str, int, TrialConfig]] = []
    for arm in figures.arms:
        several = len(arm.finalists) > 1
        for each in arm.finalists:
            title = f"{arm.name}, trial {each.number}" if several else arm.name
            shown.append((title, each.number, each.config))
        if not arm.finalists and arm.leader:
            shown.append((arm.name, arm.leader.number, arm.leader.config))
    return shown


def failures(trials: Sequence[TrialResult]) -> Table:
    """Return what failed or diverged, gathered by arm, phase, state and reason."""
    gathered: dict[tuple[str, str, str, str], list[int]] = {}
    for trial in trials:
        if trial.state in ("failed", "diverged"):
            reason = (cause(trial.reason or "") or "no reason was recorded")[:_REASON]
            key = (trial.arm, trial.phase, trial.state, reason)
            gathered.setdefault(key, []).append(trial.number)
    names = ("arm", "phase", "state", "number", "trials")
    rows = tuple(
        (arm, phase, state, count(len(numbers)), _numbers(numbers), reason)
        for (arm, phase, state, reason), numbers in sorted(gathered.items())
    )
    columns = (*(Column(name, "text") for name in names), Column("reason", "long"))
    return Table("", columns, rows)


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_LISTED]))
    return f"{shown}, …" if len(numbers) > _LISTED else shown


def data(info: TaskInfo) -> Table:
    """Return what the job's data are."""
    rows = (
        ("task", f"{info.name} ({info.kind})"),
        ("inputs, outputs", f"{count(info.inputs)}, {count(info.outputs)}"),
        ("longest sequence", f"{count(info.longest)} steps"),
        ("fingerprint (sha256)", Marked(info.fingerprint or ABSENT, "code")),
    )
    return Table("", (Column("data", "text"), Column("", "text")), rows)


def versions() -> Table:
    """Return the versions of the packages in use, and the machine."""
    rows = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            continue
    rows.append(("machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"))
    head = "versions where this report was written"
    return Table("", (Column(head, "text"), Column("", "text")), tuple(rows))


def trial_rows(results: Results) -> dict[str, Any]:
    """Return the rows of the trials table, which the page's script fills.

    The values are plain and escaped nowhere: the script sets them as text only.
    """
    names = varying([trial.config for trial in results.search])
    measured = any(trial.latency_ms is not None for trial in results.trials)
    head = ["phase", "arm", "trial", "state", "value", "test", "epochs", "parameters", "seconds"]
    head += ["latency ms"] if measured else []
    several = len({trial.path for trial in results.trials if trial.path}) > 1
    head += ["measured on"] if several else []
    return {
        "head": [*head, "drawn", *names, "seed"],
        "rows": [
            _trial_row(trial, names, measured=measured, several=several) for trial in results.trials
        ],
    }


def setting_cell(setting: Any) -> Any:
    """Return a setting as it stands in the trials table: a number, or a text."""
    return plain(setting) if setting is None or isinstance(setting, bool) else setting


def _trial_row(
    trial: TrialResult, names: Sequence[str], *, measured: bool, several: bool
) -> list[Any]:
    settings = [getattr(trial.config, name) for name in names]
    return [
        trial.phase,
        trial.arm,
        trial.number,
        trial.state,
        trial.value,
        (trial.test or {}).get(trial.metric.name),
        trial.epochs,
        trial.parameters,
        round(trial.train_seconds, 3),
        *([trial.latency_ms and round(trial.latency_ms, 4)] if measured else []),
        *([trial.path and in_words(trial.path)] if several else []),
        "at random" if trial.control else _origin(trial),
        *map(setting_cell, settings),
        trial.seed,
    ]


def _origin(trial: TrialResult) -> str:
    if trial.phase == "search":
        return "by sampler"
    if trial.candidate is not None:
        return f"candidate {trial.candidate}, split {trial.split}"
    return f"finalist {trial.finalist}, replicate {trial.replicate}"
