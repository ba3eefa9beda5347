"""The figure of a verdict drawn with characters, for the terminal."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.results.forest import Forest, Marks
from search.results.format import ABSENT

_WIDTH = 21  #: characters of an axis


def drawn(figure: Forest) -> RenderableType:
    """Return the figure: a line for each pair, P on the left, the mean difference on the right."""
    title = (
        f"How often the first arm wins by more than {figure.margin} in {figure.metric}, and the "
        f"mean difference; intervals of {100 * figure.confidence:g} %"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column(_axis([(0, "0"), (0.5, "½"), (1, "1")]), no_wrap=True)
    table.add_column("wins", justify="right", no_wrap=True)
    table.add_column(_axis(figure.ticks), no_wrap=True)
    table.add_column("mean", justify="right", no_wrap=True)
    for row in figure.rows:
        name = row.title or f"{row.pair.first} − {row.pair.second}"
        known = row.difference
        difference = Text(_line(known, figure.zero) if known else ABSENT)
        chance = Text(_line(row.probability, 0.5))
        table.add_row(Text(name), chance, Text(row.wins), difference, Text(row.mean))
    return Group(Text(title, style="bold"), table)


def _line(marks: Marks, reference: float) -> str:
    """Return an interval with its point; ┊ or ┼ stands at 1/2 or at no difference."""
    cells = [" "] * _WIDTH
    start, end = _cell(marks.low), _cell(marks.high)
    cells[start : end + 1] = "─" * (end - start + 1)
    cells[start] = "<" if marks.low_cut else "├"
    cells[end] = ">" if marks.high_cut else "┤"
    middle = _cell(reference)
    cells[middle] = "┼" if start < middle < end else "┊" if cells[middle] == " " else cells[middle]
    cells[_cell(marks.at)] = "●"
    return "".join(cells)


def _axis(ticks: Iterable[tuple[float, str]]) -> Text:
    """Return the numbers of an axis, each as near to its place as its neighbours let it be."""
    line = ""
    for place, text in ticks:
        at = min(_cell(place) - len(text) // 2, _WIDTH - len(text))
        at = max(at, 0)
        if at >= len(line) + bool(line):
            line = line.ljust(at) + text
    return Text(line, style="not bold")


def _cell(place: float) -> int:
    return round(place * (_WIDTH - 1))
