"""A comparison on the terminal, drawn by rich."""

from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from search.results import forest, forest_text, sentences, tables, tables_across
from search.results.evidence import wording
from search.results.evidence.across import Across
from search.results.evidence.verdict import Verdict
from search.results.figures import Comparison
from search.results.tables import Column, Marked, Table

SENTENCES = 6  #: pairs of arms that have one of their own over tasks; the tables have all


def final_table(figures: Comparison) -> RenderableType:
    """Return what ends a run: the verdict, each arm's leader and its test figures."""
    top = _sentence_and_figure(figures.verdict, maximize=figures.metric.maximize)
    return Group(*top, Text(), draw(tables.arms(figures)))


def comparison(figures: Comparison) -> RenderableType:
    """Return everything that `gatesearch compare` prints."""
    maximize = figures.metric.maximize
    parts = [verdict(figures.verdict, maximize=maximize), Text(), Text(sentences.headline(figures))]
    if figures.first_rates is not None:
        parts += [Text(), Text(figures.first_rates)]
    for table in (tables.arms, tables.trade_offs, tables.costs, tables.finalists, tables.spent):
        if (built := table(figures)).rows:
            parts += [Text(), draw(built)]
    parts += _list("Before you use this", figures.cautions)
    parts += _list("Not claimed", figures.not_claimed)
    return Group(*parts)


def verdict(found: Verdict, *, maximize: bool) -> RenderableType:
    """Return a verdict: its sentence and figure, its pairs, and what results vary with."""
    parts = _sentence_and_figure(found, maximize=maximize)
    if found.kind != "none":
        parts += [Text(), draw(tables.pairs(found))]
    for text in (*wording.beside(found), wording.variance(found)):
        parts += [Text(), Text(text)] if text else []
    return Group(*parts)


def _sentence_and_figure(found: Verdict, *, maximize: bool) -> list[RenderableType]:
    """Return what stands at the top of every output."""
    figure = forest.of_verdict(found, maximize=maximize)
    drawn = [Text(), forest_text.drawn(figure)] if figure.rows else []
    return [Text(found.sentence, style="bold"), *drawn]


def across(found: Across) -> RenderableType:
    """Return what several tasks say: sentences, tables, and what takes no part."""
    parts: list[RenderableType] = [Text(found.sentence, style="bold"), Text()]
    for pair in found.pairs[:SENTENCES] if len(found.pairs) > 1 else ():
        parts += [Text(pair.sentence), Text()]
    parts += [draw(tables_across.over_tasks(found)), Text(), draw(tables_across.per_task(found))]
    if found.ranks is not None:
        parts += [Text(), draw(tables_across.mean_ranks(found.ranks))]
    parts += _list("Left out", (f"{name}: {why}" for name, why in found.left_out.items()))
    parts += _list("Before you use this", found.cautions)
    parts += _list("Not claimed", (text for text in (found.no_claim, found.no_ranks) if text))
    return Group(*parts)


def draw(table: Table) -> RenderableType:
    """Return a table as rich draws it; no cell is read as markup."""
    shown = table.on("terminal")
    drawn = RichTable(box=None, pad_edge=False)
    for column in shown.columns:
        justify = "right" if column.numeric else "left"
        drawn.add_column(column.short or column.title, justify=justify)  # type: ignore[arg-type]
    for row in shown.rows:
        drawn.add_row(*map(_cell, shown.columns, row))
    # A title of its own: rich breaks the title of a narrow table into lines.
    return Group(Text(table.title, style="bold"), drawn)


def _cell(column: Column, cell: Any) -> Text:
    if column.kind == "done" and cell and cell[0] == cell[1]:
        return Text(str(cell[0]))  # there is little room
    return Text(column.text(cell), style="bold" if isinstance(cell, Marked) else "")


def _list(title: str, lines: Iterable[str]) -> list[RenderableType]:
    shown = [Padding(Text(f"• {line}"), (0, 0, 0, 2)) for line in lines]
    return [Text(), Text(title, style="bold"), *shown] if shown else []
