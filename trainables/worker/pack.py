"""The trials that a worker has in hand at once, of one or several shapes. Knows no Ray.

Those of one shape train as a cohort. Cohorts take turns, on a card several at a time. Each trial
reports by itself: at its rungs, at its end, and about every second of training. Trials come and go
between two turns.
"""

import gc
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from spaces.config import TrialConfig
from trainables.checkpoints.base import Store, StoreAwayError, StoreError
from trainables.data.redealing import Split, Splits
from trainables.data.sequences import Data
from trainables.training import side_by_side
from trainables.training.cohort import AnyCohort, cohort_of, stacks
from trainables.training.side_by_side import Lane
from trainables.worker.capacity import Capacity, Shape, shape_of
from trainables.worker.messages import TrialAssignment, TrialReport
from trainables.worker.trial import AssignedTrial

SLICE_SECONDS = 1.0  #: of training between two reports of a trial, unless a rung comes first
ROOM_SECONDS = 0.1  #: of training before a worker with room for more trials asks for them
MIXED_BYTES = 2**30  #: of padded data on a card, of all splits of one cohort
OUT_OF_MEMORY = (
    "one training step of this trial, alone on its device, needs more memory than there is: give "
    "the job smaller hidden_size, depth or batch_size, or a larger device"
)

Group = list[AssignedTrial]


@dataclass(frozen=True)
class Failure:
    """What went wrong with a group's work; exactly one of these.

    It holds no exception that left memory behind: a traceback holds all that its frames do.
    """

    waits: str | None = None  #: which store was away
    halt: str | None = None  #: why no trial can go on
    memory: str | None = None  #: what torch said where it found none
    reason: str | None = None  #: the trial's own exception
    raised: Exception | None = None  #: after which it is not known what still works

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Return what an exception means."""
        if isinstance(error, StoreAwayError):
            return cls(waits=str(error))
        if isinstance(error, StoreError):
            return cls(halt=str(error))
        if isinstance(error, torch.OutOfMemoryError):
            return cls(memory=str(error))
        if isinstance(error, (MemoryError, OSError, RuntimeError)):
            return cls(raised=error)
        return cls(reason="".join(traceback.format_exception(error, limit=-8))[-4000:])


Failures = list[tuple[Group, Failure]]
Work = Callable[[list[Group], list[TrialReport]], Failures]


def _attempted(work: Callable[[Group, list[TrialReport]], None]) -> Work:
    """Return work on several groups, one after the other, and what went wrong with each."""

    def attempt(groups: list[Group], reports: list[TrialReport]) -> Failures:
        failures: Failures = []
        for trials in groups:
            try:
                work(trials, reports)
            except Exception as error:
                failures.append((trials, Failure.of(error)))
        return failures

    return attempt


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
        self._splits, self._store, self._device = Splits(data), store, device
        self._asks = find_limit is not None
        self._capacity = Capacity(find_limit or (lambda config: sys.maxsize))
        self._trials: dict[str, AssignedTrial] = {}
        self._cohorts: dict[tuple[str, ...], tuple[AnyCohort, Lane]] = {}  # by their trials' keys
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
        reports: list[TrialReport] = []
        groups, work = self._next()
        failures = work(groups, reports)
        self.drop(trial.key for trial in list(self._trials.values()) if trial.end_reported)
        for trials, failure in failures:
            if failure.raised is not None:
                raise failure.raised
            if failure.halt is not None:
                return reports + self.halt(failure.halt)
            self.waits = failure.waits or self.waits
            left = [trial for trial in trials if not trial.end_reported]
            if left and failure.waits is None:
                reports += self._recover(left, len(trials) > 1, failure)
        return reports

    # What is done next

    def _next(self) -> tuple[list[Group], Work]:
        """Return which work is done next, and on which groups of trials.

        Latencies are measured before anything of their trials is trained, and while nothing else
        trains: the driver ends a trial that is too slow.
        """
        for trial in self._trials.values():
            if trial.latency_due:
                return [[trial]], _attempted(self._measure_latency)
        if self._asks:
            for trial in self._trials.values():
                if not self._capacity.knows(trial.assignment.config):
                    return [[trial]], _attempted(self._find_limit)
        groups = sorted(self._groups(), key=lambda trials: min(trial.turn for trial in trials))
        chosen = groups[:1]
        if self._device == "cuda" and not self._short:
            chosen = groups[: side_by_side.LANES]
        self._turns += 1
        for trial in (trial for group in chosen for trial in group):
            trial.turn = self._turns
        return chosen, self._train

    def _groups(self) -> list[list[AssignedTrial]]:
        """Return which trials train together: of one shape, as many as its limit allows.

        Where the data is large, what is stacked on a card reads one split together.
        """
        groups = [[trial] for trial in self._trials.values() if trial.alone]
        shapes: defaultdict[tuple[Shape, Split | None], list[AssignedTrial]] = defaultdict(list)
        for trial in self._trials.values():
            if not trial.alone:
                config = trial.assignment.config
                split = trial.assignment.split if self._by_split(config) else None
                shapes[shape_of(config), split].append(trial)
        for trials in shapes.values():
            limit = min(self._capacity.limit(trials[0].assignment.config), len(trials))
            groups += [trials[start : start + limit] for start in range(0, len(trials), limit)]
        return groups

    def _by_split(self, config: TrialConfig) -> bool:
        """Return whether trials of a configuration train together on one split alone.

        A cohort on a card has all its members' splits there.
        """
        if not stacks(config, self._device):
            return False
        members = min(self._capacity.limit(config), len(self._trials))
        return members * self._splits.loaded.padded_bytes > MIXED_BYTES

    def _measure_latency(self, trials: Group, reports: list[TrialReport]) -> None:
        for trial in trials:
            trial.begin(self._splits, self._device)
            reports.append(trial.report_latency())

    def _find_limit(self, trials: Group, reports: list[TrialReport]) -> None:
        for trial in trials:
            self._capacity.limit(trial.assignment.config)

    def _train(self, groups: list[Group], reports: list[TrialReport]) -> Failures:
        """Train a slice of some cohorts at once, and report on those of their trials that are due.

        A slice ends for all when a trial is due.
        """
        failures: Failures = []
        whole: list[tuple[Group, AnyCohort, Lane]] = []
        self._keep_cohorts(groups if self._short else self._groups())
        for trials in groups:
            try:
                whole.append((trials, *self._cohort(trials)))
            except Exception as error:
                failures.append((trials, Failure.of(error)))
        limit = min(SLICE_SECONDS, ROOM_SECONDS) if self.room else SLICE_SECONDS
        began = perf_counter()
        before = [began] * len(whole)

        def goes_on(number: int) -> bool:
            now, trials = perf_counter(), whole[number][0]
            for trial in trials:
                trial.unreported_seconds += now - before[number]
            before[number] = now
            return now - began <= limit and not any(trial.due(SLICE_SECONDS) for trial in trials)

        def failed(number: int, error: Exception) -> None:
            failures.append((whole[number][0], Failure.of(error)))

        if not any(trial.due(SLICE_SECONDS) for trials, _, _ in whole for trial in trials):
            cohorts, lanes = [each[1] for each in whole], [each[2] for each in whole]
            side_by_side.advance(cohorts, lanes, goes_on, failed)
        hurt = [trials for trials, _ in failures]
        unhurt = [trials for trials, _, _ in whole if all(trials is not one for one in hurt)]
        failures += _attempted(self._report_due)(unhurt, reports)
        return failures

    def _report_due(self, trials: Group, reports: list[TrialReport]) -> None:
        due = [trial for trial in trials if trial.due(SLICE_SECONDS)]
        fits = self._fits(trials, [trial for trial in due if trial.tested])
        for trial in due:  # what is reported stays so where the next one cannot be stored
            reports.append(trial.report(fits.get(trial.key)))

    def _fits(self, trials: Group, tested: Group) -> dict[str, dict[str, float]]:
        """Return the metrics on training data of those of a cohort's trials that are tested.

        They are scored together: one after the other would take a card longer than training did.
        """
        if not tested:
            return {}
        cohort, _ = self._cohort(trials)
        metrics = cohort.evaluate("train", [trials.index(trial) for trial in tested])
        return {
            trial.key: metric
            for trial, metric in zip(trials, metrics, strict=True)
            if metric is not None
        }

    def _keep_cohorts(self, groups: list[Group]) -> None:
        """Let go of all cohorts but those of some groups."""
        present = {tuple(trial.key for trial in group) for group in groups}
        self._cohorts = {of: kept for of, kept in self._cohorts.items() if of in present}

    def _cohort(self, trials: Group) -> tuple[AnyCohort, Lane]:
        """Return the cohort of these trials, made where its trials are others than before."""
        keys = tuple(trial.key for trial in trials)
        if keys not in self._cohorts:
            members = [trial.begin(self._splits, self._device) for trial in trials]
            self._cohorts[keys] = cohort_of(members), Lane(torch.device(self._device))
        return self._cohorts[keys]

    # What went wrong

    def _recover(self, trials: Group, company: bool, failure: Failure) -> list[TrialReport]:
        """Have trials go on from their checkpoints in less company; return who cannot go on.

        company: whether several of their shape trained when it happened.
        """
        freed, lost = trials, not company
        if failure.memory is not None:
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
            torch.cuda.synchronize()  # what was given up may still be read on a cohort's stream
            torch.cuda.empty_cache()
        if not lost:
            return []
        said = str(failure.memory).partition("\n")[0]
        why = failure.reason or f"{OUT_OF_MEMORY} (torch: {said})"
        self.drop(trial.key for trial in trials)
        for trial in self._trials.values():
            trial.alone = trial.had_device_alone  # the one at fault is gone
        return [trial.failed(failure=why) for trial in trials]
