"""How commands write: results to standard output, messages for people to standard error.

All of it goes through `Terminal`, `print_text` or `print_json`, so that nothing that came from a
file, a journal or a cluster commands the user's terminal. The dashboard prints its few lines by
itself, cleaned.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from spaces.errors import GatesearchError
from spaces.text import printable

PIPE_COLUMNS = 200  # of a table that goes to a file or another program


class Output:
    """Standard output or error as the commands have it.

    Characters that its encoding lacks become "?". A write that fails raises OSError with the
    stream's name, once; what is written from then on is lost.
    """

    def __init__(self, stream: IO[str], name: str, *, lasting: bool = False) -> None:
        """Take a stream. lasting: nothing is raised where it takes nothing more."""
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        self._stream = stream
        self._name = name
        self.lasting = lasting
        self.fault: OSError | None = None  #: why it takes nothing more

    def write(self, text: str) -> int:
        """Write text, as a text stream does."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, as a text stream does."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        if self.fault is None:
            try:
                act()
            except OSError as error:
                self.fault = type(error)(error.errno, error.strerror, self._name)
                discard(self._stream)
                if not self.lasting:
                    raise self.fault from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def discard(stream: IO[str]) -> None:
    """Let what a stream still holds, which Python writes at exit, go nowhere."""
    with suppress(OSError, ValueError):  # a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def outlast_readers() -> None:
    """Let the command go on where standard output takes nothing more: its work counts for more."""
    if isinstance(sys.stdout, Output):
        sys.stdout.lasting = True


def check_output_taken() -> None:
    """Raise GatesearchError where standard output has not taken all that was written.

    A reader that has left has seen enough.
    """
    fault = sys.stdout.fault if isinstance(sys.stdout, Output) else None
    if fault is not None and not isinstance(fault, BrokenPipeError):
        raise GatesearchError(
            f"{fault.filename}: {fault.strerror}; what was printed from then on is lost."
        )


def open_outputs() -> None:
    """Make the standard streams ones that a command can rely on.

    One that was closed is opened on nothing, or the next file that is opened would take its number
    and whatever a library says there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    nothing = [] if sys.stdout and sys.stderr else [open(os.devnull, "w")]  # noqa: PTH123, SIM115
    sys.stdout = Output(sys.stdout or nothing[0], "standard output")
    sys.stderr = Output(sys.stderr or nothing[0], "standard error", lasting=True)


class Terminal(Console):
    """A console whose own styles are the only commands that reach the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of anything that is printed, whatever is inside of it."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def print_text(text: str, *, end: str = "\n", error: bool = False) -> None:
    """Write plain text to standard output or error."""
    print(printable(text), end=end, file=sys.stderr if error else sys.stdout, flush=True)


def print_message(text: str) -> None:
    """Write a message to standard error, as it is: no markup, no line breaks added."""
    Terminal(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Write a message about something that may surprise and stops nothing."""
    print_message(f"note: {text}")


def print_json(value: Any, indent: int | None = 2) -> None:
    """Write a value of plain JSON types to standard output; characters beyond ASCII as escapes."""
    print(json.dumps(value, indent=indent, allow_nan=False))


def wide_console() -> Console:
    """Return the terminal; or, for a file or another program, one that holds wide tables."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=PIPE_COLUMNS)


def below_here(path: Path) -> Path:
    """Return a path relative to the working directory where it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
