"""The best trials where several things are wanted at once: those that no other beats in all.

Read from records alone: what the trials were pruned by, and what the sampler aimed at, plays no
part. The first objective is the metric in its direction; the others are to be small.
"""

from collections.abc import Iterable, Sequence

from search.job.objectives import dominates
from search.journal.trial import TrialResult

#: How an objective other than the value is read from a record.
_FIGURES = {
    "parameters": lambda record: record.parameters,
    "seconds": lambda record: record.train_seconds,
}


def pareto(records: Iterable[TrialResult], objectives: Sequence[str]) -> list[TrialResult]:
    """Return the complete search trials that none other equals in all and beats in one objective.

    objectives: of value, parameters and seconds. Sorted by the first; trials that are equal in all
    stand side by side. Raises KeyError for an objective that is none.
    """
    measured = []
    for record in records:
        figures = _figures(record, objectives)
        if figures is not None:
            measured.append((figures, record.arm, record.number, record))
    measured.sort(key=lambda row: row[:3])
    front: list[tuple[list[float], TrialResult]] = []
    for figures, _, _, record in measured:  # whatever beats a trial comes before it
        if not any(dominates(others, figures) for others, _ in front):
            front.append((figures, record))
    return [record for _, record in front]


def _figures(record: TrialResult, objectives: Sequence[str]) -> list[float] | None:
    """Return a record's objectives, less is better; None where it has no say."""
    if record.phase != "search" or record.state != "complete" or record.value is None:
        return None
    value = record.metric.cost(record.value)
    figures = [value if name == "value" else _FIGURES[name](record) for name in objectives]
    known = [float(figure) for figure in figures if figure is not None]
    return known if len(known) == len(figures) else None
