"""All commands together, and the only place where exceptions become messages and exit codes."""

import errno
import importlib.util
import signal
import sys
from pathlib import Path
from typing import Any

import typer

from search.cli import claims, cluster, data, judge, local, queue, tracking, watch
from search.cli.terminal import print_message
from search.supervisor import INTERRUPTED, STOPPING, tell_ended
from spaces.errors import GatesearchError, InputError

app = typer.Typer(
    name="gatesearch",
    help="Find out which recurrent cell suits your data: search, confirm, compare, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.add_typer(data.app)
app.add_typer(local.app)
app.add_typer(tracking.app)
app.add_typer(judge.app)
app.add_typer(claims.app)
app.add_typer(cluster.app)
app.add_typer(queue.app)
app.add_typer(watch.app)

#: The root of what typer raises for a wrong command line. Its module differs between versions.
USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]


def run_command() -> int:
    """Run the command that the command line asks for; return its exit code."""
    try:
        _check_packages()
        code = app(standalone_mode=False)
        sys.stdout.flush()  # raises here, and not at exit, where the reader has left
    except BaseException as error:
        code = INTERRUPTED if _interrupted else _told(error)
    if _interrupted:  # whatever it has become on its way through the libraries
        print_message("Interrupted.")
    tell_ended()
    return code or 0


def _told(error: BaseException) -> int:
    """Print what an exception says to a person, return its exit code; raise what says nothing."""
    match error:
        case GatesearchError():
            print_message(str(error))
            return error.exit_code
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case SystemExit() if isinstance(error.__context__, BrokenPipeError):
            return 0  # typer exits so where the reader has left
        case BrokenPipeError():
            return 0  # the reader of our output has seen enough
        case OSError() if error.strerror:
            place = "" if error.filename is None else f"{error.filename}: "
            print_message(f"{place}{error.strerror}{_room(error)}")
            return 1
    if isinstance(error, USAGE_ERROR):
        error.show()
        return int(error.exit_code)
    raise error


def _room(error: OSError) -> str:
    """Return the remedy where a file of the user's has no room; a stream (/dev/full) has none."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if not full or not Path(str(error.filename)).is_absolute():
        return ""
    return "\n  remedy: make room there; nothing that was there is lost"


_interrupted = False


def interrupt_by_exception() -> None:
    """Have signals end a command by KeyboardInterrupt, so that it clears up.

    A command that starts Ray is supervised instead: see search/supervisor.py.
    """

    def interrupt(number: int, frame: object) -> None:
        global _interrupted
        _interrupted = True
        raise KeyboardInterrupt

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def _check_packages() -> None:
    """Refuse to start where a folder of the user's stands before one of our packages."""
    home = Path(__file__).resolve().parents[2]
    for package in ("spaces", "trainables", "search", "deploy"):
        spec = importlib.util.find_spec(package)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        if [Path(place).resolve() for place in places] != [home / package]:
            found = ", ".join(places) or "nowhere"
            raise InputError.of(
                f"import of {package!r}",
                f"it must resolve to {home / package}, not {found}",
                "remove that folder from PYTHONPATH, or start gatesearch from another folder",
            )
