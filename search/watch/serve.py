"""`gatesearch watch`: the parts of the live page put together, until Ctrl-C."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from search.process import interruptible
from search.tracking.dashboard import LOOPBACK
from search.tracking.dashboard import address as address_of
from search.watch.access import Access
from search.watch.board import Board
from search.watch.control import Control, LocalControl
from search.watch.feed import Feed, Source
from search.watch.follow import Followed
from search.watch.report import Report
from search.watch.server import Site
from spaces.errors import InputError
from trainables.scratch import ScratchFolder


@dataclass(frozen=True)
class Listening:
    """Where the page is served, and for whom."""

    host: str
    port: int  #: 0: a free one
    token: str
    allowed: Sequence[str] = ()


def serve(
    folder: Path,
    at: Listening,
    say: Callable[[str], None],
    control: Callable[[Followed], Control] | None = None,
    source: Source | None = None,
) -> None:
    """Serve the live page of the job in a folder until Ctrl-C or SIGTERM.

    say: prints a line for the user. control: makes what stops and resumes the job, by default on
    this machine. source: see Feed. Raises InputError where the port is taken.
    """
    with suppress(KeyboardInterrupt), interruptible(), serving(folder, at, control, source) as site:
        place = address_of(at.host, site.port)
        say(f"{folder.name} is shown at {place}/")
        say(f"To stop and resume it from there: {place}/#token={at.token}")
        if at.host not in LOOPBACK:
            say("Nothing is shown without the token. It comes in clear: use it in a network that")
            say("you trust, or through a tunnel (ssh -L).")
        say("Ctrl-C ends the page; the job goes on.")
        threading.Event().wait()


@contextmanager
def serving(
    folder: Path,
    at: Listening,
    control: Callable[[Followed], Control] | None = None,
    source: Source | None = None,
) -> Iterator[Site]:
    """Serve the page while the block runs; see serve."""
    board = Board()
    feed = Feed(folder, board, source)
    with ScratchFolder() as scratch:
        report = Report(folder, scratch.path, board, feed.followed)
        acting = control(feed.followed) if control else LocalControl(folder, feed.followed)
        site = _listening(at, board, report, acting)
        site.access = Access(at.host, site.port, at.token, at.allowed)
        answering = threading.Thread(target=site.serve_forever, daemon=True, name="http")
        feed.start()
        report.start()
        answering.start()
        try:
            yield site
        finally:
            board.end()
            site.shutdown()
            site.server_close()
            feed.stop()
            report.stop()


def _listening(at: Listening, board: Board, report: Report, control: Control) -> Site:
    """Return the server. Raises InputError where its address cannot be listened on."""
    try:
        found = socket.getaddrinfo(at.host or None, at.port, type=socket.SOCK_STREAM)[0]
        address = str(found[4][0]), int(found[4][1])
        return Site(address, found[0], board, report, control)
    except OSError as error:
        rule = f"{at.host}:{at.port} must be free ({error.strerror or error})"
        remedy = "give another one with --port, or end the program that uses it"
        raise InputError.of("--port", rule, remedy) from error
