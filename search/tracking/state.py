"""What the MLflow mirror notes about itself: which run stands for which trial, its last error.

`tracking.jsonl` in a job's folder is appended by the mirror alone and read by anybody:

    {"server": masked URI, "experiment_id": …}    from here on, runs are those of this server
    {"key": "search/lstm/3", "run_id": …}
    {"error": text or null, "time": ms}           null: it works again
    {"complete": true or false}                   whether all that the journal held is in MLflow

It is a convenience: the mirror finds its runs by their tags, so losing the file loses nothing.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE_NAME = "tracking.jsonl"
JOB_KEY = "job"  #: the key of the job's own run, the parent of all others


@dataclass
class MirrorState:
    """What is known of a job's mirror."""

    server: str | None = None  #: without user name and password
    experiment_id: str | None = None
    runs: dict[str, str] = field(default_factory=dict)  #: run id by trial key, JOB_KEY's included
    error: str | None = None  #: why the mirror is behind, if it is
    error_time: int | None = None  #: Unix time in milliseconds
    complete: bool = False  #: whether everything up to the mirror's end is in MLflow


def mirror_state(folder: Path) -> MirrorState:
    """Return what the mirror noted in a job's folder; torn and damaged lines are passed over."""
    state = MirrorState()
    try:
        text = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return state
    for line in text.splitlines():
        try:
            note = json.loads(line)
        except ValueError:
            continue
        match note:
            case {"server": str(server), "experiment_id": str(experiment)}:
                if (server, experiment) != (state.server, state.experiment_id):
                    state = MirrorState(server, experiment)
                state.complete = False
            case {"key": str(key), "run_id": str(run_id)}:
                state.runs[key] = run_id
            case {"error": error, "time": int(when)} if error is None or isinstance(error, str):
                state.error, state.error_time = error, when if error else None
            case {"complete": bool(complete)}:
                state.complete = complete
    return state


def run_ids(folder: Path) -> dict[str, str]:
    """Return the MLflow run id of every mirrored trial by its key, for example "search/lstm/3"."""
    return mirror_state(folder).runs


class Notes:
    """The mirror's end of the file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._state = mirror_state(folder)

    def server(self, uri: str, experiment_id: str) -> None:
        """Note where the runs are from here on."""
        self._append({"server": uri, "experiment_id": experiment_id})
        if (uri, experiment_id) != (self._state.server, self._state.experiment_id):
            self._state = MirrorState(uri, experiment_id)

    def run(self, key: str, run_id: str) -> None:
        """Note a trial's run."""
        if self._state.runs.get(key) != run_id:
            self._state.runs[key] = run_id
            self._append({"key": key, "run_id": run_id})

    def error(self, text: str | None) -> None:
        """Note that something went wrong, or with None that it works again."""
        if text != self._state.error:
            self._state.error = text
            self._append({"error": text, "time": time.time_ns() // 1_000_000})

    def complete(self, complete: bool) -> None:
        """Note how the mirror ends."""
        self._append({"complete": complete})

    @property
    def runs(self) -> dict[str, str]:
        """The run ids noted so far for this server."""
        return self._state.runs

    def _append(self, note: dict[str, Any]) -> None:
        """Append a note, as far as the disk lets us: a mirror does not stop for the want of one."""
        line = json.dumps(note).encode() + b"\n"
        with suppress(OSError):
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            file = os.open(self._path, flags, 0o644)
            try:
                size = os.fstat(file).st_size
                if size and os.pread(file, 1, size - 1) != b"\n":
                    line = b"\n" + line  # a torn last line must not swallow this one
                os.write(file, line)
            finally:
                os.close(file)
