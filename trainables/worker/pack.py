"""The trials that a worker has in hand at once, of one or several shapes. Knows no Ray.

Those of one shape train as a cohort; cohorts take turns. Each trial reports by itself: at its
rungs, at its end, and about every second of training. Trials come and go between two turns.
"""

import gc
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import torch

from spaces.config import TrialConfig
from trainables.checkpoints.base import Store, StoreAwayError, StoreError
from trainables.data.sequences import Data
from trainables.training.cohort import AnyCohort, cohort_of
from trainables.worker.capacity import Capacity, Shape, shape_of
from trainables.worker.messages import TrialAssignment, TrialReport
from trainables.worker.trial import AssignedTrial

SLICE_SECONDS = 1.0  #: of training between two reports of a trial, unless a rung comes first
ROOM_SECONDS = 0.1  #: of training before a worker with room for more trials asks for them
OUT_OF_MEMORY = (
    "one training step of this trial, alone on its device, needs more memory than there is: give "
    "the job smaller hidden_size, depth or batch_size, or a larger device"
)

Work = Callable[[list[AssignedTrial], list[TrialReport]], None]


class Pack:
    """Assigned trials in training.

    A trial's own exception fails that trial alone: where several trained together, each goes on by
    itself from its checkpoint, and the one at fault shows. Where memory runs out, fewer train
    together. After any other MemoryError, OSError or RuntimeError it is not known what still works:
    these are raised.
    """

    def __init__(
        self,
        data: Data,
        store: Store,
        device: str,
        find_limit: Callable[[TrialConfig], int] | None = None,
    ) -> None:
        """find_limit: returns how many trials of a configuration's shape to train together.

        Without it the pack asks for no more than it is given, and trains that together.
        """
        self._data, self._store, self._device = data, store, device
        self._asks = find_limit is not None
        self._capacity = Capacity(find_limit or (lambda config: sys.maxsize))
        self._trials: dict[str, AssignedTrial] = {}
        self._cohorts: dict[tuple[str, ...], AnyCohort] = {}  # by the keys of their trials
        self.waits: str | None = None  #: which store the latest work could not reach, if any
        self._turns = 0
        self._short = False  # memory has run out before: one cohort is kept at a time

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def room(self) -> int:
        """How many more trials can be taken beside those in hand."""
        configs = [trial.assignment.config for trial in self._trials.values()]
        return self._capacity.room(configs) if self._asks else 0

    def add(self, assignments: Sequence[TrialAssignment]) -> None:
        """Take trials beside those in hand."""
        for assignment in assignments:
            self._trials[assignment.key] = AssignedTrial(assignment, self._store)

    def drop(self, keys: Iterable[str]) -> None:
        """Let go of trials that are not to go on, if they are in hand."""
        gone = {key for key in keys if self._trials.pop(key, None) is not None}
        self._cohorts = {of: kept for of, kept in self._cohorts.items() if gone.isdisjoint(of)}

    def clear(self) -> None:
        """Let go of all trials."""
        self._trials.clear()
        self._cohorts.clear()

    def halt(self, reason: str) -> list[TrialReport]:
        """Return reports that no trial can go on, for that reason, and let go of them."""
        reports = [trial.failed(halt=reason) for trial in self._trials.values()]
        self.clear()
        return reports

    def advance(self) -> list[TrialReport]:
        """Do the next piece of work and return what there is to report, if anything.

        What is to be stored in a store that is away stays due.
        """
        self.waits = None
        trials, work = self._next()
        reports: list[TrialReport] = []
        memory: str | None = None
        failure: str | None = None
        try:
            work(trials, reports)
        except StoreAwayError as error:
            self.waits = str(error)
        except StoreError as error:
            self.drop(trial.key for trial in trials if trial.end_reported)
            return reports + self.halt(str(error))
        except torch.OutOfMemoryError as error:
            memory = str(error)
        except Exception as error:
            if isinstance(error, (MemoryError, OSError, RuntimeError)):
                raise
            failure = "".join(traceback.format_exception(error, limit=-8))[-4000:]
        self.drop(trial.key for trial in trials if trial.end_reported)
        # Not above: an exception that is being handled holds the memory that it met.
        left = [trial for trial in trials if not trial.end_reported]
        if left and (memory is not None or failure is not None):
            reports += self._recover(left, len(trials) > 1, memory, failure)
        return reports

    # What is done next

    def _next(self) -> tuple[list[AssignedTrial], Work]:
        """Return which work is done next, and on which trials.

        Latencies are measured before anything of their trials is trained, and while nothing else
        trains: the driver ends a trial that is too slow.
        """
        for trial in self._trials.values():
            if trial.latency_due:
                return [trial], self._measure_latency
        if self._asks:
            for trial in self._trials.values():
                if not self._capacity.knows(trial.assignment.config):
                    return [trial], self._find_limit
        group = min(self._groups(), key=lambda trials: min(trial.turn for trial in trials))
        self._turns += 1
        for trial in group:
            trial.turn = self._turns
        return group, self._train

    def _groups(self) -> list[list[AssignedTrial]]:
        """Return which trials train together: of one shape, as many as its limit allows."""
        groups = [[trial] for trial in self._trials.values() if trial.alone]
        shapes: defaultdict[Shape, list[AssignedTrial]] = defaultdict(list)
        for trial in self._trials.values():
            if not trial.alone:
                shapes[shape_of(trial.assignment.config)].append(trial)
        for trials in shapes.values():
            limit = min(self._capacity.limit(trials[0].assignment.config), len(trials))
            groups += [trials[start : start + limit] for start in range(0, len(trials), limit)]
        return groups

    def _measure_latency(self, trials: list[AssignedTrial], reports: list[TrialReport]) -> None:
        for trial in trials:
            trial.begin(self._data, self._device)
            reports.append(trial.report_latency())

    def _find_limit(self, trials: list[AssignedTrial], reports: list[TrialReport]) -> None:
        for trial in trials:
            self._capacity.limit(trial.assignment.config)

    def _train(self, trials: list[AssignedTrial], reports: list[TrialReport]) -> None:
        """Train one slice of one cohort, and report on those of its trials that are due."""
        cohort = self._cohort(trials)
        limit = min(SLICE_SECONDS, ROOM_SECONDS) if self.room else SLICE_SECONDS
        began = before = perf_counter()
        while not any(trial.due(SLICE_SECONDS) for trial in trials) and before - began <= limit:
            # Members' epochs differ, so do their rungs: each trains one more.
            cohort.advance(1 + max(trial.training.epoch for trial in trials), seconds=0.0)
            now = perf_counter()
            for trial in trials:
                trial.unreported_seconds += now - before
            before = now
        for trial in trials:
            if trial.due(SLICE_SECONDS):
                reports.append(trial.report())

    def _cohort(self, trials: list[AssignedTrial]) -> AnyCohort:
        """Return the cohort of these trials, made where its trials are others than before."""
        groups = [trials] if self._short else self._groups()
        present = {tuple(trial.key for trial in group) for group in groups}
        self._cohorts = {of: kept for of, kept in self._cohorts.items() if of in present}
        keys = tuple(trial.key for trial in trials)
        if keys not in self._cohorts:
            members = [trial.begin(self._data, self._device) for trial in trials]
            self._cohorts[keys] = cohort_of(members)
        return self._cohorts[keys]

    # What went wrong

    def _recover(
        self, trials: list[AssignedTrial], company: bool, memory: str | None, failure: str | None
    ) -> list[TrialReport]:
        """Have trials go on from their checkpoints in less company; return who cannot go on.

        company: whether several trained when it happened. memory: what torch said where it found
        none. failure: another exception.
        """
        freed, lost = trials, not company
        if memory is not None:
            self._short = True
            if company:
                self._capacity.lower(trials[0].assignment.config, (len(trials) + 1) // 2)
            elif len(self) > 1 and not trials[0].had_device_alone:
                # What the others hold may be in its way: they begin again after its next turn.
                trials[0].had_device_alone = trials[0].alone = True
                trials[0].turn = -1
                freed, lost = list(self._trials.values()), False
        elif company:
            for trial in trials:
                trial.alone = True
        self._cohorts.clear()
        for trial in freed:
            trial.free()
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()
        if not lost:
            return []
        why = failure or f"{OUT_OF_MEMORY} (torch: {str(memory).partition(chr(10))[0]})"
        self.drop(trial.key for trial in trials)
        for trial in self._trials.values():
            trial.alone = trial.had_device_alone  # the one at fault is gone
        return [trial.failed(failure=why) for trial in trials]
