"""Keeps the board up to date while a job's journal grows."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from search.job.commands import command
from search.journal.at_work import is_driver_at_work
from search.results.format import plural
from search.run.now import FILE_NAME as NOW_FILE
from search.run.now import Now, read_now
from search.run.standing import standing_of
from search.tracking.state import FILE_NAME as MIRROR_FILE
from search.tracking.state import mirror_state
from search.watch import items
from search.watch.board import Board
from search.watch.follow import AT_ONCE, Followed
from search.watch.slots import Lanes, slot_items
from spaces.errors import InputError
from spaces.text import first_line, mask

LOOK = 0.5  #: seconds between two looks at the journal
SHARE = 10  #: what takes t seconds is done again after SHARE times t, at the soonest


class Source(Protocol):
    """Where a journal that is copied from elsewhere comes from."""

    def problem(self) -> str | None:
        """Return why what is here may be late."""

    def driven(self) -> bool:
        """Return whether the job's driver is at work there."""


class Feed:
    """Reads a job's journal on a thread of its own and puts what it says on a board."""

    def __init__(self, folder: Path, board: Board, source: Source | None = None) -> None:
        """source: where the journal is copied from, if it is."""
        self.followed = Followed(folder)
        self._folder, self._board, self._source = folder, board, source
        self._begun = self.followed.begun
        self._lanes = Lanes()
        self._overview_after = 0.0
        self._stale = True  # whether trials have changed since the last overview
        self._best: list[str] = []  # keys of each arm's best trial
        self._files: dict[str, tuple[Any, Any]] = {}  # what was read of a file, by its state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="feed")

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                read = self.look()
            except InputError as error:
                self._board.put({"problem": str(error)})
                return
            except OSError as error:  # a folder that is away or may not be read, until it may
                self._board.put({"problem": f"{self._folder}: {error.strerror or error}"})
                read = 0
            except Exception as error:  # a page that stands still must say so
                what = f"the page's reader has ended: {type(error).__name__}: {first_line(error)}"
                self._board.put({"problem": f"{what}; start `gatesearch watch` again"})
                return
            if read < AT_ONCE:
                self._stop.wait(LOOK)

    def look(self) -> int:
        """Read what is new and put what follows on the board; return how many groups were read."""
        read = self.followed.read()
        self._stale |= read > 0
        if self._begun != self.followed.begun:
            self._begun, self._overview_after = self.followed.begun, 0.0
            for name in ("report", "standing", "best/", "curve/"):
                self._board.put({}, whole=name)  # of the job that was there before
        job, job_state = self.followed.job, self.followed.job_state
        share = self.followed.share()
        behind = read == AT_ONCE
        told: dict[str, Any] = {
            "problem": self.followed.problem or (self._source and self._source.problem()),
            "reading": round(share, 3) if behind and share is not None else None,
        }
        if job is None:
            told["head"] = None
            self._board.put(told)
            return read
        running = items.running(job_state)
        source = self._source
        driven = source.driven() if source else is_driver_at_work(job_state, self._folder)
        now = self._now() if driven and job_state.phase != "done" else None
        told["head"] = self._head(driven=driven)
        told["waits"] = self._waits(now)
        self._board.put(told)
        self._board.put(slot_items(running, job_state.trials, now, self._lanes), whole="slot")
        arms = {arm.name: place for place, arm in enumerate(job.arms)}
        self._board.put(
            {
                f"curve/{trial.key}": items.curve(trial, arms[trial.arm])
                for trial in running
                if trial.curve and trial.phase == "search"
            }
        )
        self._overview(wait=behind)
        return read

    def _overview(self, *, wait: bool) -> None:
        """Put on the board what takes all trials to tell; seldom, where there are many."""
        job, job_state = self.followed.job, self.followed.job_state
        assert job is not None
        began = time.monotonic()
        if not self._stale or began < self._overview_after:
            return
        self._stale = False
        standing = standing_of(job, job_state)
        best = items.best_so_far(job, job_state)
        self._best = [each["trial"] for each in best.values() if each["trial"]]
        ended = [items.described(job_state.trials[key]) for key in reversed(self.followed.ended)]
        self._board.put({"standing": standing, "latest": ended, **best})
        self._board.put(items.curves(job, job_state, self._best), whole="curve/")
        took = time.monotonic() - began
        self._overview_after = time.monotonic() + (2 * SHARE if wait else SHARE) * took

    def _head(self, *, driven: bool) -> dict[str, Any]:
        job, job_state = self.followed.job, self.followed.job_state
        assert job is not None and job_state.info is not None
        metric = job_state.info.metric
        finished = job_state.phase == "done"
        return {
            "job": job.name,
            "job_id": job_state.job_id,
            "task": job_state.info.name,
            "metric": metric.name,
            "direction": metric.direction,
            "arms": [arm.name for arm in job.arms],
            "phase": job_state.phase,
            "trials": len(job_state.trials),
            "finished": finished,
            "driven": driven,
            "resume": None if driven or finished else command("resume", self._folder),
        }

    def _now(self) -> Now | None:
        """Return what the driver at work says; nothing of one before it."""
        found: Now | None = self._unless_same(NOW_FILE, read_now)
        driver = self.followed.job_state.driver
        return found if found is not None and driver and found.pid == driver[0] else None

    def _waits(self, now: Now | None) -> list[str]:
        """Return what is waited for, and why."""
        waits = [mask(text) for text in now.waits] if now else []
        if now and now.could_begin and not any(now.slots):
            waits.append(f"{plural(now.could_begin, 'trial')} could begin; no worker is up yet")
        error = self._unless_same(MIRROR_FILE, lambda folder: mirror_state(folder).error)
        if error:
            waits.append(f"MLflow is behind, and no result is lost: {mask(error)}")
        return waits

    def _unless_same(self, name: str, read: Callable[[Path], Any]) -> Any:
        """Return what is read of a file of the job's folder, again only where it has changed."""
        try:
            about = os.lstat(self._folder / name)
        except OSError:
            return None
        state = about.st_ino, about.st_size, about.st_mtime_ns
        if self._files.get(name, (None, None))[0] != state:
            self._files[name] = state, read(self._folder)
        return self._files[name][1]
