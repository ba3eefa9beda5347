"""The page of verdicts alone: of results that any tool wrote, and of several tasks together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.report import ranks_figure
from search.report.template import rendered
from search.results import forest, forest_across, tables, tables_across
from search.results.evidence import wording
from search.results.evidence.across import FEWEST, Across
from search.results.evidence.verdict import Verdict
from search.results.terminal import SENTENCES
from trainables.files import replace_file


def write_verdicts(
    path: Path,
    title: str,
    verdicts: Mapping[str, Verdict],
    *,
    maximize: Mapping[str, bool],
    across: Across | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write a page, whole or not at all.

    verdicts: of each task by its name, "" where there is one without a name. maximize: whether
    greater values of its metric are better. across: what the tasks say together. notes: on how the
    results were used. Raises OSError, with the file's name, where it cannot be written.
    """
    page = rendered(
        "verdicts.html.j2",
        title=title,
        verdicts=[_verdict(t, found, maximize=maximize[t]) for t, found in verdicts.items()],
        notes=notes,
        across=across,
        fewest=FEWEST,
        **({} if across is None else _across(across)),
    )
    replace_file(path, page.encode())


def _verdict(title: str, found: Verdict, *, maximize: bool) -> dict[str, Any]:
    figure = forest.of_verdict(found, maximize=maximize)
    arms = dict.fromkeys(name for pair in found.pairs for name in (pair.first, pair.second))
    return {
        "title": title,
        "verdict": found,
        "forest": figure,
        "places": {name: place for place, name in enumerate(arms)},
        "pairs": tables.pairs(found),
        "beside": [text for text in (*wording.beside(found), wording.variance(found)) if text],
    }


def _across(found: Across) -> dict[str, Any]:
    left_out = (f"{name} is left out. {reason}" for name, reason in found.left_out.items())
    return {
        "forests": [forest_across.of_pair(pair) for pair in found.pairs[:SENTENCES]],
        "cautions": [*left_out, *found.cautions, *([found.no_claim] if found.no_claim else [])],
        "places": tables_across.places(found),
        "tables": {
            "over_tasks": tables_across.over_tasks(found),
            "per_task": tables_across.per_task(found),
        },
        "ranks": None if found.ranks is None else ranks_figure.drawn(found.ranks),
    }
