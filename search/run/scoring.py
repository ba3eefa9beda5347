"""Which chosen candidates of a nested design are scored on test data, once each."""

from collections import Counter
from typing import Any

from search.journal.replay import TrialState
from search.run.confirmation import Confirmation
from search.run.trial_records import score_record
from trainables.worker.messages import TrialReport


class Scoring:
    """The candidates that are to be scored, and those that a worker scores now."""

    def __init__(self, confirmation: Confirmation, retries: int) -> None:
        """retries: how often one is given out again after a fault."""
        self._confirmation, self._retries = confirmation, retries
        self._due = {trial.key: trial for trial in confirmation.due()}
        self._given: dict[str, TrialState] = {}
        self._lost = Counter[str]()

    def next(self) -> TrialState | None:
        """Return the next one that a worker is to score, or None."""
        if not self._due:
            return None
        key = next(iter(self._due))
        self._given[key] = self._due.pop(key)
        return self._given[key]

    def has(self, trial: TrialState | None) -> bool:
        """Return whether a worker scores a candidate now."""
        return trial is not None and trial.key in self._given

    def look(self, trial: TrialState) -> None:
        """Take in that a trial of the confirm phase has ended: it may be the last beside it."""
        if (chosen := self._confirmation.chosen(trial)) is not None:
            self._due[chosen.key] = chosen

    def reported(self, trial: TrialState, report: TrialReport) -> dict[str, Any] | None:
        """Take a report in; return what is to be recorded, if anything.

        A candidate whose weights were lost is trained again first.
        """
        if report.failure is not None:
            return self.lost(trial, report.failure)
        if report.test is None and not report.diverged:
            return None
        del self._given[trial.key]
        return score_record(trial, report)

    def lost(
        self, trial: TrialState, reason: str, *, counted: bool = True
    ) -> dict[str, Any] | None:
        """Take in that a candidate was not scored; return the record of giving it up, if it is."""
        self._due[trial.key] = self._given.pop(trial.key)
        self._lost[trial.key] += counted
        if self._lost[trial.key] <= self._retries:
            return None
        del self._due[trial.key]
        return score_record(trial, reason=reason)
