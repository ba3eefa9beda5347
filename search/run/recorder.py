"""What a driver writes: records of its journal, applied to the job's state as they are written."""

import time
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

from search.journal.base import BaseJournal
from search.journal.replay import JobState
from search.journal.trial import AloneTimes
from search.run import trial_records
from search.tracking.state import MirrorState
from trainables.patience import AwakeClock


class Recorder:
    """A job's journal and its state. A driver is one, and adds the decisions."""

    generation: int  #: of the driver

    def __init__(self, journal: BaseJournal, job_state: JobState) -> None:
        self._journal, self.job_state = journal, job_state
        self._clock = AwakeClock()
        self._began = time.time_ns() // 1_000_000  # a clock that is set later moves no record
        self._flushed = time.monotonic()
        self._released: list[str] = []  # checkpoints, by what may not be on disk yet
        self.unneeded = SimpleQueue[str | None]()  #: names of checkpoints, see retention.removing

    def awake_seconds(self) -> float:
        """Return the seconds for which this driver was at work; to be asked every few seconds."""
        return self._clock.seconds()

    def restart_clock(self) -> None:
        """Have the time since the driver began not count: the job waited for its machine."""
        self._record(trial_records.driver_record(self.generation), timed=True)
        self._commit()

    def add_times(self, times: dict[str, AloneTimes]) -> None:
        """Record what was measured of finalists, by their keys."""
        for key, measured in times.items():
            self._record({"record": "alone", "key": key, **asdict(measured)}, timed=True)
        self._commit()

    def record_runs(self, mirrored: MirrorState) -> None:
        """Record which runs of MLflow's the trials are, if that is known and not recorded yet."""
        runs = {name: getattr(mirrored, name) for name in ("server", "experiment_id", "runs")}
        if mirrored.runs and runs != self.job_state.runs:
            self._record({"record": "runs", "runs": runs}, timed=True)
            self._commit()

    def done(self) -> None:
        """Record that report and export are written too."""
        self._enter("done")

    def _enter(self, phase: str) -> None:
        self._record({"record": "phase", "phase": phase}, timed=True)
        self._commit()

    def _commit(self, *, flush: bool = True) -> None:
        """Store the group. Checkpoints go only once it is on disk that no trial needs them."""
        self._journal.commit(flush=flush)
        if flush:
            self._flushed = time.monotonic()
            while self._released:
                self.unneeded.put(self._released.pop())

    def _record(self, record: dict[str, Any], *, timed: bool = False) -> None:
        """Add a record to the journal's next group and apply it to the job's state."""
        if timed:
            record["time"] = self._began + int(1000 * self.awake_seconds())
        self._journal.append(record)
        self.job_state.apply(record)
