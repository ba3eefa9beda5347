"""Which checkpoints a job keeps, decided from its journal alone, and how the others go meanwhile.

    a running trial                     its checkpoints: it goes on from them
    a paused trial                      the last one: the search may never come back to it
    an arm's best trials of the search  the last one, which holds the best epoch's weights alone;
                                        so many as storage.keep_best says, and every finalist
    a candidate of a nested design      the last one, until one of those beside it was scored
    a replicate                         none, but what each test example scored
    all others                          none

A complete trial's rank only gets worse: what has gone is never asked for again.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.run.confirmation import Confirmation
from trainables.checkpoints.base import StoreError
from trainables.checkpoints.open import open_store


class Retention:
    """Tells which checkpoints are kept, and which of them are needed no more as trials end."""

    def __init__(
        self, job: JobSpec, job_state: JobState, ranked: Confirmation, keep_best: int | None
    ) -> None:
        """Look at the state and the ranks as they are when asked.

        keep_best: how many trials of an arm keep their weights at least; None for all.
        """
        self._arms = [arm.name for arm in job.arms]
        self._job_state, self._ranked = job_state, ranked
        self._least = max(1, job.confirm.finalists)
        self._most = keep_best and max(keep_best, self._least)

    def kept(self) -> set[str]:
        """Return the names of the checkpoints that the job keeps."""
        trials = self._job_state.trials.values()
        running = (trial for trial in trials if trial.state == "running")
        found = {
            name for trial in running for name in trial.checkpoints[-1 if trial.paused else 0 :]
        }
        found |= {trial.scores["name"] for trial in trials if trial.scores is not None}
        waiting = (t for t in trials if self._ranked.awaits_score(t))
        found |= {name for trial in waiting for name in trial.checkpoints[-1:]}
        for arm in self._arms:
            for rank, trial in enumerate(self._ranked.best(arm)):
                if self._most is None or rank < self._most or self._ranked.confirmed(trial):
                    found.update(trial.checkpoints[-1:])
        return found

    def tighten(self) -> list[str]:
        """Keep finalists and each arm's best alone from now on; return what is needed no more."""
        if self._most == self._least:
            return []
        before = self.kept()
        self._most = self._least
        return sorted(before - self.kept())

    def released_by(self, trial: TrialState) -> list[str]:
        """Return what is needed no more, now that a trial is paused, or has ended and is ranked."""
        if trial.paused or self._ranked.awaits_score(trial):
            return trial.checkpoints[:-1]
        if trial.phase != "search" or trial.state != "complete":
            return list(trial.checkpoints)
        older = trial.checkpoints[:-1]
        if self._most is None:
            return older
        *best, last = self._ranked.best(trial.arm, self._most + 1)
        if len(best) < self._most:
            return older
        if not any(trial is each for each in best):
            return list(trial.checkpoints)
        return older if self._ranked.confirmed(last) else older + last.checkpoints

    def released_beside(self, trial: TrialState) -> list[str]:
        """Return the names of what candidates need no more, once one of them was scored."""
        own = self._ranked.beside(trial) or []
        return [
            name for one in own if not self._ranked.awaits_score(one) for name in one.checkpoints
        ]


def remove_unneeded(retention: Retention, place: str) -> None:
    """Remove all that a job does not keep: what a killed driver or worker has left goes with it.

    place: of the store, see open_store. What cannot be removed now is left for the next time.
    """
    with suppress(StoreError):
        open_store(place, patience=0).clean(retention.kept())


@contextmanager
def removing(unneeded: "SimpleQueue[str | None]", place: str) -> Iterator[None]:
    """Remove checkpoints that come through the queue, in a thread: an object store takes its time.

    place: of the store, see open_store. What cannot be removed, or is left in the queue when the
    block ends, is removed with all else that the job does not keep when it ends or is resumed.
    """
    over = threading.Event()

    def remove() -> None:
        store = open_store(place, patience=0)
        while (name := unneeded.get()) is not None and not over.is_set():
            with suppress(StoreError, OSError):
                store.delete(name)

    thread = threading.Thread(target=remove, name="removes-checkpoints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        unneeded.put(None)
        thread.join()
