"""What a claim comes to on one task."""

from dataclasses import dataclass, field
from typing import Any, Literal

from search.results.read import Results
from spaces.tasks import Adding, Symbolic

Answer = Literal["holds", "does not hold", "cannot tell"]


@dataclass(frozen=True)
class Finding:
    """One claim on one task."""

    task: str
    what: str  #: that was compared
    answer: Answer
    numbers: str  #: that it rests on, as a clause
    figures: dict[str, Any] = field(default_factory=dict)  #: the same for programs


def task_of(results: Results) -> str:
    """Return a job's task with the option by which tasks of claims differ."""
    match results.job.task:
        case Adding(length=length):
            return f"adding, {length} steps"
        case Symbolic(complexity=complexity):
            return f"symbolic, complexity {complexity}"
    return results.info.name
