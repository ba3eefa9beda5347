"""What a driver writes: records of its journal, applied to the job's state as they are written."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from search.job.folder import JOURNAL, stored_job
from search.job.urls import same_server
from search.journal.base import BaseJournal, Group, JournalBusyError
from search.journal.open import open_journal, open_reader
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
        """Record which runs of MLflow's the trials are, as this driver's own mirror has sent them.

        Those in a database of one machine replace none of a server's: nobody else could open them.
        """
        if not mirrored.runs or (mirrored.served is None and self._served is not None):
            return
        runs = {name: getattr(mirrored, name) for name in ("server", "experiment_id", "runs")}
        if runs != self.job_state.runs:
            self._record({"record": "runs", "runs": runs}, timed=True)
            self._commit()

    def record_late_runs(self, mirrored: MirrorState) -> None:
        """Record the same of a mirror that ran after the job's drivers, on whichever machine.

        It completes what a server has, and never replaces another server's runs. What a database of
        its own machine has is not recorded.
        """
        if mirrored.served is not None and (
            self._served is None or same_server(self._served, mirrored.served)
        ):
            self.record_runs(mirrored)

    @property
    def _served(self) -> str | None:
        """The server whose runs are recorded; see MirrorState."""
        recorded = self.job_state.runs
        return None if recorded is None else MirrorState(**recorded).served

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


def record_runs(folder: Path, mirrored: MirrorState) -> None:
    """Record in a database which runs of MLflow's the trials of a finished job are.

    Its last driver may have ended before its mirror. A journal in a file needs no such record: the
    mirror's own file is beside it, and a copy that was fetched must stay what it is. A job that is
    not done, or whose driver has the journal, is left to that driver. What keeps its place is said
    at Recorder.record_late_runs. Raises JournalError.
    """
    job = stored_job(folder)
    if job.storage.study is None or (folder / JOURNAL).exists():
        return
    if _replayed(open_reader(folder).groups()).phase != "done":
        return
    with suppress(JournalBusyError), open_journal(job, folder) as journal:
        job_state = _replayed(journal.take_history())
        if job_state.phase == "done":  # nobody has extended it meanwhile
            Recorder(journal, job_state).record_late_runs(mirrored)


def _replayed(groups: Iterable[Group]) -> JobState:
    job_state = JobState(keep_curves=False)
    job_state.apply_all(groups)
    return job_state
