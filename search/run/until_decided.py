"""Replicates until the arms are told apart: when to stop, and how far to go ahead meanwhile.

A replicate counts once all before it have ended, in every arm: which pairs are looked at follows
from their numbers alone, not from which of them end sooner. The test is valid however often it is
looked at, so that nothing is lost by stopping as soon as it says so.
"""

from search.job.spec import JobSpec
from search.journal.replay import JobState
from search.journal.trial import TrialResult
from search.results.evidence.pairs import Results
from search.results.ranking import CHOOSING, candidates
from search.results.scores import replicate_results

AHEAD = 10  #: replicates that may have begun beyond those that have ended, at least
BLOCK = 5  #: replicates of a finalist that are trained at once


class UntilDecided:
    """Looks at the replicates of a job whose number is open."""

    block = BLOCK

    def __init__(self, job: JobSpec, job_state: JobState) -> None:
        """Look at the state as it is when asked."""
        assert job_state.info is not None
        self._arms = [arm.name for arm in job.arms]
        self._confirm, self._job_state = job.confirm, job_state
        self._metric = job_state.info.metric
        self._several = job.confirm.design != "nested" and job.confirm.finalists > 1
        self._known: dict[int, bool] = {}

    def ahead(self, settled: int) -> int:
        """Return how many replicates may have begun where the first `settled` have ended.

        Who leads an arm is settled before its leader goes on alone.
        """
        if self._several and settled < CHOOSING:
            return CHOOSING
        return settled + max(AHEAD, settled)

    def decided(self, settled: int) -> bool:
        """Return whether the first `settled` replicates tell the arms apart."""
        if not settled or (self._several and settled < CHOOSING):
            return False
        if settled not in self._known:
            # Late, since who only looks needs no scipy.
            from search.results.evidence.judge import decided
            from search.results.job_verdict import margin_of

            found = replicate_results(self._metric, self._arms, self._results(settled))
            self._known[settled] = decided(
                Results(found).scores,
                maximize=self._metric.maximize,
                margin=margin_of(self._confirm),
                confidence=self._confirm.confidence,
            )
        return self._known[settled]

    def leader(self, arm: str) -> int | None:
        """Return which finalist leads an arm, by its number in the search."""
        own = [result for result in self._results(CHOOSING) if result.arm == arm]
        return next((one.trial.number for one in candidates(self._metric, own)), None)

    def _results(self, settled: int) -> list[TrialResult]:
        """Return the search's complete trials and the first replicates."""
        return [
            trial.result(self._metric)
            for trial in self._job_state.trials.values()
            if (trial.replicate is None and trial.state == "complete")
            or (trial.replicate is not None and trial.replicate < settled)
        ]
