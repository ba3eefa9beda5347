"""What a job has found so far, read from its journal; safe to use while the job runs."""

import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from search.job.spec import JobSpec
from search.journal.base import JournalAwayError, JournalError
from search.journal.open import open_reader
from search.journal.replay import Ledger
from search.journal.trial import Record
from search.process import watch
from search.tracking.state import run_ids
from spaces.errors import InputError
from spaces.tasks import TaskInfo


@dataclass(frozen=True)
class Results:
    """All trials of a job and what is needed to understand them."""

    folder: Path
    job: JobSpec
    info: TaskInfo
    records: list[Record]
    phase: str  #: search, confirm, report or done
    job_id: str = ""  #: tells this job from others of its name
    driven: bool = True  #: False where its driver was a process of this machine and has gone

    @cached_property
    def search(self) -> list[Record]:
        """The trials of the search phase."""
        return [record for record in self.records if record.phase == "search"]

    @cached_property
    def confirm(self) -> list[Record]:
        """The replicates of the finalists."""
        return [record for record in self.records if record.phase == "confirm"]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms' names in the order of the job file."""
        return tuple(arm.name for arm in self.job.arms)

    @property
    def finished(self) -> bool:
        """Whether every trial that was asked for has ended."""
        return self.phase in ("report", "done")

    def ranked(self, arm: str | None = None) -> list[Record]:
        """Return the complete search trials, best validation value first, of one arm or of all.

        Ties go to the smaller model, then to the earlier trial.
        """
        sign = -1 if self.info.metric.direction == "maximize" else 1
        complete = [
            (sign * record.value, record.parameters or 0, record.number, record)
            for record in self.search
            if record.state == "complete" and record.value is not None
            if arm is None or record.arm == arm
        ]
        return [row[-1] for row in sorted(complete, key=lambda row: row[:-1])]

    def best(self, arm: str | None = None) -> Record | None:
        """Return the best complete search trial of an arm or of all, or None."""
        return next(iter(self.ranked(arm)), None)


def read_results(folder: Path) -> Results:
    """Return the results in a job's folder. Raises InputError where there is no readable job."""
    remedy = "name a job that was run here, or give the folder of its runs with --root"
    reader = open_reader(folder)
    ledger = Ledger()
    try:
        if not reader.exists():
            raise InputError.of(str(folder), "there is no job in this folder", remedy)
        ledger.apply_all(reader.groups())
    except JournalAwayError as error:
        raise InputError.of(str(folder), str(error), "try again once it answers") from error
    except JournalError as error:
        raise InputError.of(str(folder), str(error), "see the message") from error
    if ledger.spec is None or ledger.info is None:
        raise InputError.of(str(folder), "the job has not got as far as its first trial", remedy)
    ids = run_ids(folder)
    metric = ledger.info.metric
    return Results(
        folder=folder,
        job=JobSpec.from_dump(ledger.spec, Path(ledger.base)),
        info=ledger.info,
        records=[entry.record(metric, ids.get(key)) for key, entry in ledger.entries.items()],
        phase=ledger.phase,
        job_id=ledger.job_id,
        driven=_driven(ledger),
    )


def _driven(ledger: Ledger) -> bool:
    if ledger.driver is None or ledger.driver[1] != socket.gethostname():
        return True  # as far as can be told from here
    return watch(ledger.driver[0])()
