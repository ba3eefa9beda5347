"""Lines that tell, every few seconds, what goes on or what is waited for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from trainables.patience import waits

LINE_SECONDS = 10.0  #: between two lines


@contextmanager
def lines_shown(line: Callable[[], str], console: Console) -> Iterator[None]:
    """Print a line at once and whenever it has changed after LINE_SECONDS, while the block runs.

    Nothing is printed while the line is empty.
    """
    stop = threading.Event()
    printer = threading.Thread(target=_print_lines, args=(line, console, stop), daemon=True)
    printer.start()
    try:
        yield
    finally:
        stop.set()
        printer.join()


@contextmanager
def waits_shown(console: Console) -> Iterator[None]:
    """Print which stores are waited for, while the block runs."""
    with lines_shown(lambda: "; ".join(waits()), console):
        yield


def _print_lines(line: Callable[[], str], console: Console, stop: threading.Event) -> None:
    shown_last = ""
    while not stop.is_set():
        text = line()
        if text and text != shown_last:
            console.print(text, highlight=False, markup=False, soft_wrap=True)
            shown_last = text
        stop.wait(LINE_SECONDS)
