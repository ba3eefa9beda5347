"""The report's page: figures and tables put together, every text escaped, written in one piece."""

import html
import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.report import confirm_figure, front_figures, search_figures, tables
from search.report.frame import Figure
from search.results import sentences
from search.results.figures import Comparison
from search.results.format import ABSENT, count, listing, plural
from search.results.importance import importance
from search.results.summarise import compare
from trainables.files import replace_file

if TYPE_CHECKING:
    from search.results.read import Results

#: Nothing is loaded from anywhere: a browser refuses it even if a figure's library should ask.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)


def write_report(results: "Results", path: Path) -> None:
    """Write report.html. Unfinished jobs get one too; it says that they are."""
    replace_file(path, _page(results).encode())


def _page(results: "Results") -> str:
    from plotly.offline import get_plotlyjs

    figures = compare(results)
    shares = {
        name: importance([each for each in results.search if each.arm == name])
        for name in results.arms
    }
    confirmed = confirm_figure.confirmed(figures)
    shown = [
        *([confirmed] if confirmed else []),
        *front_figures.fronts(figures, results.search, results.job.search.objectives),
        search_figures.curves(figures, results.search),
        search_figures.against_parameters(figures, results.search),
        search_figures.against_time(figures, results.search),
        search_figures.importances(figures, shares),
    ]
    sections = [
        ("summary", "Summary", "Summary", _summary(figures, results)),
        ("arms", "Arms", "Arms", tables.arms(figures) + tables.spent(figures)),
        *(
            (each.name, each.short, each.title, _figure(each) + _below(figures, each))
            for each in shown
        ),
        ("configurations", "Configurations", "Best configurations", tables.configurations(figures)),
        ("trials", "Trials", "Trials", tables.trials(results)),
        ("failures", "Failures", "Failures", tables.failures(results.records)),
        ("reproduce", "Reproduce", "Reproduce", tables.reproduce(results)),
    ]
    data = {
        "comparison": figures.as_dict(),
        "figures": [each.as_dict() for each in shown if each.traces],
        "trials": tables.trial_rows(results),
    }
    title = html.escape(f"{figures.job}: {listing(results.arms)} on {figures.task}")
    links = "".join(f'<a href="#{name}">{html.escape(label)}</a>' for name, label, _, _ in sections)
    body = "".join(
        f'<section id="{name}"><h2>{html.escape(heading)}</h2>{content}</section>'
        for name, _, heading, content in sections
    )
    own = files("search.report")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{title}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{own.joinpath('page.css').read_text()}</style>\n</head>\n<body>\n"
        f'<header><p class="product">gatesearch report</p><h1>{title}</h1></header>\n'
        f"<nav>{links}</nav>\n<main>{body}</main>\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n"
        f"<script>\n{own.joinpath('page.js').read_text()}</script>\n</body>\n</html>\n"
    )


def _summary(figures: Comparison, results: "Results") -> str:
    info = results.info
    facts = (
        f"Data: {info.name} ({info.kind}; {count(info.inputs)} inputs, {count(info.outputs)} "
        f"outputs, up to {plural(info.longest, 'step')} a sequence), fingerprint "
    )
    boxes = [
        ("What was found", " wide", figures.findings),
        ("Before you use this", " caution", figures.cautions),
        ("What is not claimed", "", figures.not_claimed),
    ]
    shown = "".join(
        f'<div class="box{look}"><h3>{title}</h3><ul>'
        + "".join(f"<li>{html.escape(each)}</li>" for each in sentences)
        + "</ul></div>"
        for title, look, sentences in boxes
        if sentences
    )
    short = html.escape(info.fingerprint[:16]) or ABSENT
    return (
        f'<p class="lead">{html.escape(sentences.headline(figures))}</p>'
        f'<p class="facts">{html.escape(facts)}<code>{short}</code>. {_when(results)}</p>'
        f'<div class="boxes">{shown}</div>'
    )


def _when(results: "Results") -> str:
    """Return when the trials were trained; the report itself is the same whenever it is written."""
    times = [each.time for record in results.records for each in record.curve if each.time]
    if not times:
        return ""
    first, last = (
        datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        for time in (min(times), max(times))
    )
    return f"Trained from {first} to {last} UTC."


def _figure(figure: Figure) -> str:
    caption = "".join(f'<p class="caption">{html.escape(each)}</p>' for each in figure.caption)
    if not figure.traces:
        return caption
    size = f'style="height:{figure.height}px"'
    return f'{caption}<div class="plot" id="plot-{figure.name}" {size}></div>'


def _below(figures: Comparison, figure: Figure) -> str:
    if figure.name == "confirm":
        return tables.finalists(figures) + tables.differences(figures)
    return ""


def _json(data: dict[str, Any]) -> str:
    """Return JSON that cannot end its script element. Raises ValueError for NaN and infinities."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
