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
        child = self._child
        if child is not None:
            child.kill()  # its thread may wait for its answer
        self._thread.join()
        if self._child is not None:
            _end(self._child)

    def want(self, wanted: bool) -> None:
        """Say whether anybody looks."""
        self._wanted = wanted
        if wanted:
            self._wake.set()

    def read(self) -> tuple[bytes, list[str]] | None:
        """Return the report and the hashes of its scripts; None before there is one."""
        hashes = self._made.get("hashes")
        if hashes is None:
            return None
        return self._path.read_bytes(), list(hashes)

    def _run(self) -> None:
        while not self._stopped:
            if not self._wanted or not self._is_due():
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            began = time.monotonic()
            told = self._ask()
            if self._stopped:
                return
            self._take(told)
            pause = max(SOONEST, SHARE * (time.monotonic() - began))
            self._pause(began, pause)
        return

    def _is_due(self) -> bool:
        followed = self._followed
        return followed.job is not None and followed.groups > self._made.get("groups", 0)

    def _pause(self, began: float, seconds: float) -> None:
        """Wait; not for so long where the job has come to its end meanwhile."""
        while not self._stopped and time.monotonic() - began < seconds:
            phase = self._followed.job_state.phase
            if phase != self._made.get("phase") and phase in ("confirm", "done"):
                return
            time.sleep(0.2)

    def _ask(self) -> dict[str, Any]:
        """Have a report made. A child that has ended is followed by another one."""
        child = self._child
        if child is None or child.poll() is not None:
            child = self._child = self._started()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(b"make\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError:
            line = b""
        if not line:
            _end(child)
            self._child = None
            return {"error": "the process that makes it has ended; it is started again"}
        told: dict[str, Any] = json.loads(line)
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

    def _take(self, told: dict[str, Any]) -> None:
        if "error" in told:
            self._made |= {"groups": self._followed.groups}
            self._board.put({"report": {"error": told["error"]}})
            return
        self._made = told
        shown = {name: told[name] for name in ("sentence", "phase", "trials", "made")}
        self._board.put({"report": shown})


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and close its pipes."""
    child.kill()
    child.communicate()
