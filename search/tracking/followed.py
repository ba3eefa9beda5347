"""Whether what a mirror follows is still what it opened, and which folder a job's runs are of.

A mirror lives long: its folder may be removed, moved or copied, and another job may begin at the
same path. So it knows files by what they are, and folders by the job whose journal they hold.
"""

import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from search.job.folder import JOURNAL, has_job, stored_job
from search.journal.base import JournalError
from search.journal.open import open_reader
from search.journal.replay import JobState
from spaces.errors import InputError
from spaces.text import mask


class Followed:
    """Files and folders that must stay the ones that were there first."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._first: dict[Path, tuple[int, int] | None] = dict.fromkeys(paths)
        self.gone()

    def gone(self) -> bool:
        """Return whether one that was there is there no more, or something else in its place."""
        for path, first in self._first.items():
            now = _identity(path)
            if first is None:
                self._first[path] = now  # not made yet, or for the first time
            elif now != first:
                return True
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def place_of(folder: Path, uri: str) -> str:
    """Return where a job's folder is, as its runs in MLflow say it.

    A local database is in the runs folder and moves with it: the folder's name is enough. A job
    whose journal is in a database is sent from any folder that leads there.
    """
    if uri.startswith("sqlite:"):
        return folder.name
    in_database = has_job(folder) and not (folder / JOURNAL).exists()
    study = stored_job(folder).storage.study if in_database else None
    return f"{socket.gethostname()}:{folder}" if study is None else f"{mask(study)} {folder.name}"


def folder_at(place: str | None, folder: Path, uri: str) -> Path | None:
    """Return the folder at a place, if it is on this machine and another one than `folder`."""
    if place is None or place == place_of(folder, uri):
        return None
    if uri.startswith("sqlite:"):
        other = folder.parent / Path(place).name
    else:
        host, _, path = place.partition(":")
        other = Path(path)
        if host != socket.gethostname():
            return None
    return other if other.is_dir() and not other.samefile(folder) else None


def job_id_in(folder: Path) -> str | None:
    """Return the id of the job whose journal a folder holds, or None."""
    state = JobState()
    with suppress(InputError, JournalError):
        for group in open_reader(folder).groups():
            state.apply_all([group])
            if state.job_id:
                return state.job_id
    return None
