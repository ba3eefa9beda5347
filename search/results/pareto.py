"""The Pareto front: the trials that no other trial dominates in the job's objectives.

It is computed from results alone: neither the pruner nor the sampler plays a part. The first
objective is the metric in its direction; smaller is better in the others.
"""

from collections.abc import Iterable, Sequence

from search.job.objectives import dominates
from search.journal.trial import TrialResult

#: How an objective other than the value is read from a trial.
_FIGURES = {
    "parameters": lambda trial: trial.parameters,
    "seconds": lambda trial: trial.train_seconds,
}


def pareto(trials: Iterable[TrialResult], objectives: Sequence[str]) -> list[TrialResult]:
    """Return the complete search trials that no other one dominates, sorted by the first objective.

    objectives: of value, parameters and seconds; KeyError is raised for any other. Trials that are
    equal in all of them are all on the front.
    """
    measured = []
    for trial in trials:
        figures = _figures(trial, objectives)
        if figures is not None:
            measured.append((figures, trial.arm, trial.number, trial))
    measured.sort(key=lambda row: row[:3])
    front: list[tuple[list[float], TrialResult]] = []
    for figures, _, _, trial in measured:  # what dominates a trial comes before it
        if not any(dominates(other, figures) for other, _ in front):
            front.append((figures, trial))
    return [trial for _, trial in front]


def _figures(trial: TrialResult, objectives: Sequence[str]) -> list[float] | None:
    """Return a trial's objectives, less is better; None for a trial that cannot be on a front."""
    if trial.phase != "search" or trial.state != "complete" or trial.value is None:
        return None
    value = trial.metric.cost(trial.value)
    figures = [value if name == "value" else _FIGURES[name](trial) for name in objectives]
    known = [float(figure) for figure in figures if figure is not None]
    return known if len(known) == len(figures) else None
