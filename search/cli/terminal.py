"""How commands write: results to standard output, messages for people to standard error."""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

PIPE_COLUMNS = 200  # of a table that goes to a file or another program


def print_message(text: str) -> None:
    """Write a message to standard error, as it is: no markup, no line breaks added."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def print_note(text: str) -> None:
    """Write a message about something that may surprise and stops nothing."""
    print_message(f"note: {text}")


def print_json(value: Any) -> None:
    """Write a value of plain JSON types to standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


def wide_console() -> Console:
    """Return the terminal; or, for a file or another program, one that holds wide tables."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS)


def below_here(path: Path) -> Path:
    """Return a path relative to the working directory where it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
