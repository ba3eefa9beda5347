"""Has the report made anew while the job runs and somebody looks."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from search.watch.board import Board
from search.watch.follow import Followed

SOONEST = 5.0  #: seconds between two reports
SHARE = 15  #: a report that takes t seconds is made again after SHARE times t, at the soonest


class Report:
    """The report of a job, as far as it is known."""

    def __init__(self, folder: Path, scratch: Path, board: Board, followed: Followed) -> None:
        """scratch: a folder of the process's own."""
        self._folder, self._board, self._followed = folder, board, followed
        self._path = scratch / "report.html"
        self._child: subprocess.Popen[bytes] | None = None
        self._wake = threading.Event()
        self._stopped = False
        self._wanted = False
        self._made: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="report")

    def start(self) -> None:
        """Begin; nothing is made before somebody wants it."""
        self._thread.start()

    def stop(self) -> None:
        """End, and the process with it."""
        self._stopped = True
        self._wake.set()
        while self._thread.is_alive():
            child = self._child
            if child is not None:
                child.kill()  # its thread waits for its answer, or is about to
            self._thread.join(0.1)
        if self._child is not None:
            _end(self._child)

    def want(self, wanted: bool) -> None:
        """Say whether anybody looks."""
        self._wanted = wanted
        if wanted:
            self._wake.set()

    def read(self) -> tuple[bytes, list[str]] | None:
        """Return the report and the hashes of its scripts; None before there is one."""
        made = self._made
        hashes = made.get("hashes")
        if hashes is None or made["begun"] != self._followed.begun:
            return None
        return self._path.read_bytes(), list(hashes)

    def _run(self) -> None:
        while not self._stopped:
            if not self._wanted or not self._is_due():
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            began, begun = time.monotonic(), self._followed.begun
            told = self._ask()
            if self._stopped:
                return
            self._take(told, begun)
            pause = max(SOONEST, SHARE * (time.monotonic() - began))
            self._pause(began, pause)

    def _is_due(self) -> bool:
        followed = self._followed
        made = self._made.get("begun", 0), self._made.get("groups", 0)
        return followed.job is not None and (followed.begun, followed.groups) > made

    def _pause(self, began: float, seconds: float) -> None:
        """Wait; not for so long where the job has come to its end, or another one in its place."""
        while not self._stopped and time.monotonic() - began < seconds:
            phase = self._followed.job_state.phase
            if phase != self._made.get("phase") and phase in ("confirm", "done"):
                return
            if self._followed.begun != self._made.get("begun"):
                return
            time.sleep(0.2)

    def _ask(self) -> dict[str, Any]:
        """Have a report made. A child that has ended is followed by another one."""
        child = self._child
        try:
            if child is None or child.poll() is not None:
                child = self._child = self._started()
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(b"make\n")
            child.stdin.flush()
            told: dict[str, Any] = json.loads(child.stdout.readline())
        except (OSError, ValueError) as error:  # ValueError: of half a line, or none
            if child is not None:
                _end(child)
            self._child = None
            why = "has ended" if isinstance(error, ValueError) else f"has failed ({error})"
            return {"error": f"the process that makes it {why}; it is started again"}
        return told

    def _started(self) -> "subprocess.Popen[bytes]":
        arguments = [str(self._folder), str(self._path)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "search.watch.reporter", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def _take(self, told: dict[str, Any], begun: int) -> None:
        """Show a report; begun: of the journal that was read here when it was asked for."""
        if begun != self._followed.begun:
            return  # of a job whose place another one has taken
        if "error" in told:
            before = self._made if self._made.get("begun") == begun else {}
            self._made = {**before, "begun": begun, "groups": self._followed.groups}
            self._board.put({"report": {"error": told["error"]}})
            return
        self._made = {**told, "begun": begun}
        shown = {name: told[name] for name in ("sentence", "phase", "trials", "made")}
        self._board.put({"report": shown})


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and close its pipes."""
    child.kill()
    child.communicate()
