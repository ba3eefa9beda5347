"""What a driver does now and what it waits for: now.json in the job's folder, for who watches.

It is no part of the truth: it is written anew whenever it changes, at most once a second, without
waiting for the disk, and means nothing once its driver has gone.
"""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from spaces.errors import InputError
from trainables.files import draft_file, open_own, remove_stale_drafts
from trainables.patience import waits

if TYPE_CHECKING:
    from search.run.driver import Driver
    from search.run.tune_bridge import Bridge

FILE_NAME = "now.json"
SECONDS = 1.0  #: between two looks
_MOST = 2**20  # bytes of the file, which may come from elsewhere
_TEXT = 500  # characters of what is waited for


@dataclass(frozen=True)
class Now:
    """What a driver does."""

    pid: int
    waits: list[str]  #: what it waits for, each once
    slots: list[list[str]]  #: the keys of the trials that each worker has in hand
    could_begin: int  #: trials that could begin, were there more workers

    @classmethod
    def of(cls, plain: Any) -> Self | None:
        """Return what plain JSON types say, or None where they are of another form."""
        match plain:
            case {
                "pid": int(pid),
                "waits": list(waits),
                "slots": list(slots),
                "could_begin": int(could_begin),
            } if all(isinstance(keys, list) for keys in slots):
                texts = [text[:_TEXT] for text in waits if isinstance(text, str)]
                held = [[key for key in keys if isinstance(key, str)] for keys in slots]
                return cls(pid, texts, held, could_begin)
        return None


def read_now(folder: Path) -> Now | None:
    """Return what the driver of the job in a folder wrote last; None where nothing can be read."""
    with suppress(OSError, InputError, ValueError, RecursionError):
        handle = open_own(folder / FILE_NAME, os.O_RDONLY)
        with os.fdopen(handle, "rb") as file:
            text = file.read(_MOST + 1)
        return Now.of(json.loads(text)) if len(text) <= _MOST else None
    return None


class Telling:
    """Writes what a driver does; `bridge` is set once its workers are known."""

    def __init__(self, driver: "Driver", folder: Path) -> None:
        self._driver, self._folder = driver, folder
        self.bridge: Bridge | None = None
        self._told: Now | None = None

    def tell(self) -> None:
        """Write the file, where there is anything new."""
        now = self._now()
        if now == self._told:
            return
        path = self._folder / FILE_NAME
        # A full disk does not end the job: what could not be written is due at the next look.
        with suppress(OSError), draft_file(path) as (draft, _):
            draft.write_text(json.dumps(asdict(now)))
            draft.replace(path)
            self._told = now

    def _now(self) -> Now:
        bridge, running = self.bridge, not self._driver.finished
        slots = [] if bridge is None else list(bridge.busy.values())
        return Now(
            os.getpid(),
            waits(),
            [sorted(slot.keys) for slot in slots] if running else [],
            self._driver.could_begin() if running else 0,
        )


@contextmanager
def told_now(driver: "Driver", folder: Path) -> Iterator[Telling]:
    """Tell what a driver does while the block runs."""
    telling, stop = Telling(driver, folder), threading.Event()
    remove_stale_drafts(folder / FILE_NAME)

    def tell() -> None:
        while not stop.wait(SECONDS):
            with suppress(RuntimeError):  # a table that grows while it is read is read next time
                telling.tell()

    teller = threading.Thread(target=tell, daemon=True, name="now")
    teller.start()
    try:
        yield telling
    finally:
        stop.set()
        teller.join()
        telling.bridge = None
        with suppress(RuntimeError):
            telling.tell()
