"""A copy of the journal of a job on a cluster, which follows it while the page is open.

What arrives is checked as any journal is. The copy is in a folder that goes with the process.
"""

import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from search.job.folder import JOURNAL
from search.journal.base import decode, encode
from search.run.now import FILE_NAME as NOW_FILE
from search.run.now import Now
from search.watch.control import RefusedError
from search.watch.send import DRIVEN, GROUP, HERE, NOW, is_done
from spaces.errors import GatesearchError
from spaces.text import first_line
from trainables.files import draft_file
from trainables.scratch import ScratchFolder

AGAIN = 5.0  #: seconds before a cluster that could not be reached is asked again
FINISHED = 60.0  #: seconds before it is asked again about a finished job, which may be extended
LEAVE = 20.0  #: seconds that its printing job may take to end
_LINE = 2**24  # characters of one line, at most


class Cluster(Protocol):
    """What is asked of a cluster. Every method may raise an exception with the reason."""

    def journal(self, submission: str, start: int) -> Generator[str, None, None]:
        """Yield what send.py prints of a job, in pieces of any length, until it ends."""

    def stop(self, submission: str) -> None:
        """Stop a job in good order."""

    def resume(self, submission: str) -> None:
        """Have a queue take a job again."""


class Copy:
    """The journal and what the driver says, as files of a folder here."""

    def __init__(self, folder: Path, pieces: Callable[[int], Generator[str, None, None]]) -> None:
        """pieces: returns what is printed from a number of groups on."""
        self.folder = folder
        self.groups = 0  #: that have arrived and are in the file, whole
        self._size = 0  # bytes of these
        self._pieces = pieces
        self._done = False  # whether the job is finished, as far as has arrived
        self._driven = True
        self._problem: str | None = "the cluster is being asked"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="copy")

    def problem(self) -> str | None:
        """Return why what is here may be late."""
        return self._problem

    def driven(self) -> bool:
        """Return whether the job's driver is at work, as far as the cluster can see."""
        return self._driven

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def stop(self) -> None:
        """Copy no more, and have nothing printed any more."""
        self._stop.set()
        self._thread.join(LEAVE)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with closing(self._pieces(self.groups)) as pieces:
                    self.take(pieces)
                self._stop.wait(FINISHED if self._done else 0.0)
            except Exception as error:  # of whatever kind the connection's are
                self._problem = f"nothing comes from the cluster now: {first_line(error)}"
                self._stop.wait(AGAIN)

    def take(self, pieces: Iterable[str]) -> None:
        """Take in what is printed.

        Raises GatesearchError for what is no journal, or says only why there is none.
        """
        rest = other = ""
        heard = False
        with (self.folder / JOURNAL).open("ab") as journal:
            journal.truncate(self._size)  # a full disk has left a part of what came last
            for piece in pieces:
                *lines, rest = (rest + piece).split("\n")
                if len(rest) > _LINE:
                    raise GatesearchError("the cluster must send the lines of a journal")
                for line in lines:
                    word, _, text = line.partition(" ")
                    heard |= word in (GROUP, NOW, DRIVEN, HERE)
                    if word == GROUP:
                        self._keep(journal, text)
                    elif word == NOW:
                        self._tell(text)
                    elif word == DRIVEN:
                        self._driven = text.strip() == "true"
                    elif word != HERE and line.strip():
                        other = line
                if heard:
                    self._problem = None
                if self._stop.is_set():
                    return
        if not heard:
            said = first_line(rest.strip() or other) or "nothing"
            raise GatesearchError(f"what prints it there has ended and said: {said}")

    def _keep(self, journal: IO[bytes], text: str) -> None:
        group = decode(text.encode() + b"\n")
        if group is None:
            raise GatesearchError("a line of the journal arrived damaged")
        journal.write(encode(group))
        journal.flush()
        self.groups += 1
        self._size = journal.tell()
        self._done = is_done(group, self._done)

    def _tell(self, text: str) -> None:
        with suppress(ValueError, RecursionError):
            if Now.of(json.loads(text)) is not None:
                path = self.folder / NOW_FILE
                with draft_file(path) as (draft, _):
                    draft.write_text(text)
                    draft.replace(path)


@contextmanager
def copied(cluster: Cluster, submission: str, name: str) -> Iterator[Copy]:
    """Copy the journal of a submission while the block runs."""
    with ScratchFolder() as scratch:
        folder = scratch.path / name
        folder.mkdir()
        copy = Copy(folder, lambda start: cluster.journal(submission, start))
        copy.start()
        try:
            yield copy
        finally:
            copy.stop()


class RemoteControl:
    """Of a job on a cluster."""

    def __init__(self, cluster: Cluster, submission: str) -> None:
        self._cluster, self._submission = cluster, submission

    def stop(self) -> str:
        """Have the cluster stop the job. Raises RefusedError."""
        try:
            self._cluster.stop(self._submission)
        except Exception as error:
            raise RefusedError(first_line(error)) from error
        return "The job is asked to stop. It goes on where it was once it is resumed."

    def resume(self) -> str:
        """Have the queue take the job again. Raises RefusedError, also where there is none."""
        try:
            self._cluster.resume(self._submission)
        except Exception as error:
            remedy = "submitted again (`gatesearch submit`), the job goes on where it was"
            raise RefusedError(f"{first_line(error)}; {remedy}") from error
        return "The job is in the queue again."
