"""What may be exported: a complete trial with its replicates, and how these rank."""

from dataclasses import dataclass

from search.results.ranking import Candidate
from search.results.read import Results
from spaces.config import TrialConfig
from spaces.errors import InputError
from spaces.text import suggestion
from trainables.data.sequences import Data
from trainables.export import onnx


@dataclass(frozen=True)
class Exported:
    """One configuration as it was exported: what the card tells."""

    results: Results
    candidate: Candidate
    data: Data
    config: TrialConfig
    scaling: onnx.Scaling | None
    best_epoch: int
    metrics: dict[str, float]  #: on validation data, at the best epoch
    comparison: onnx.Comparison


def ranked(results: Results, arm: str | None = None) -> list[Candidate]:
    """Return what can be exported, best first. Raises InputError where there is no such arm."""
    if arm is not None and arm not in results.arms:
        raise InputError.of(
            "--arm", f"the job has no arm {arm!r}", suggestion(arm, list(results.arms))
        )
    return results.candidates(arm)
