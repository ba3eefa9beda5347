"""The report's page: figures and tables put into the template, written in one piece."""

import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from search.job.folder import JOB_FILE, has_job
from search.job.yaml_text import write
from search.report import (
    budget_figure,
    confirm_figure,
    curves_figure,
    distribution_figure,
    front_figures,
    importance_figure,
    tables,
    value_figures,
)
from search.report.frame import COLOURS, Figure
from search.results import sentences
from search.results import tables as shared_tables
from search.results.evidence import wording
from search.results.figures import Comparison
from search.results.format import ABSENT, count, plural
from search.results.importance import importance
from search.results.read import Results
from search.results.summarise import compare
from spaces.text import listed, printable
from trainables.files import replace_file


def write_report(results: Results, path: Path) -> None:
    """Write report.html. Unfinished jobs get one too; it says that they are."""
    replace_file(path, _page(results).encode())


def _page(results: Results) -> str:
    from plotly.offline import get_plotlyjs

    comparison = compare(results)
    figures = _figures(comparison, results)
    data = {
        "comparison": comparison.as_dict(),
        "figures": [figure.as_dict() for figure in figures if figure.traces],
        "trials": tables.trial_rows(results),
    }
    templates = Environment(
        loader=PackageLoader("search.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
    )
    templates.globals["colours"] = COLOURS
    return templates.get_template("page.html.j2").render(
        title=f"{comparison.job}: {listed(results.arms)} on {comparison.task}",
        headline=sentences.headline(comparison),
        facts=_facts(results),
        when=_when(results),
        absent=ABSENT,
        info=results.info,
        comparison=comparison,
        figures=figures,
        tables=_tables(comparison, results),
        alike=tables.alike(comparison),
        varies=wording.variance(comparison.verdict),
        trials=count(len(results.trials)) if results.trials else "",
        job_file=_job_file(results),
        css=_own("page.css"),
        script=_own("page.js"),
        plotly=Markup(get_plotlyjs()),
        data=_json(data),
    )


def _figures(comparison: Comparison, results: Results) -> list[Figure]:
    shares = {
        name: importance([trial for trial in results.search if trial.arm == name])
        for name in results.arms
    }
    confirmed = confirm_figure.confirmed(comparison)
    return [
        *([confirmed] if confirmed else []),
        *front_figures.fronts(comparison, results.search, results.job.search.objectives),
        budget_figure.best_against_budget(comparison, results),
        distribution_figure.distributions(comparison, results),
        curves_figure.curves(comparison, results.search),
        value_figures.against_parameters(comparison, results.search),
        value_figures.against_time(comparison, results.search),
        importance_figure.importances(comparison, shares),
    ]


def _tables(comparison: Comparison, results: Results) -> dict[str, shared_tables.Table]:
    return {
        "arms": shared_tables.arms(comparison),
        "spent": shared_tables.spent(comparison),
        "finalists": shared_tables.finalists(comparison),
        "pairs": shared_tables.pairs(comparison.verdict, results.arms),
        "configurations": tables.configurations(comparison),
        "failures": tables.failures(results.trials),
        "data": tables.data(results.info),
        "versions": tables.versions(),
    }


def _facts(results: Results) -> str:
    info = results.info
    return (
        f"Data: {info.name} ({info.kind}; {count(info.inputs)} inputs, {count(info.outputs)} "
        f"outputs, up to {plural(info.longest, 'step')} a sequence)"
    )


def _when(results: Results) -> str:
    """Return when the trials were trained; the report itself is the same whenever it is written."""
    times = [epoch.time for trial in results.trials for epoch in trial.curve if epoch.time]
    if not times:
        return ""
    first, last = (
        datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        for time in (min(times), max(times))
    )
    return f"Trained from {first} to {last} UTC."


def _job_file(results: Results) -> str:
    if has_job(results.folder):
        return (results.folder / JOB_FILE).read_text(encoding="utf-8", errors="replace")
    return write(results.job.dump())


def _shown(value: Any) -> Any:
    """Return a value as the page may show it: all that is put into the template goes through it."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _plain(value: Any) -> Any:
    """Return plain JSON types with every text as the page may show it."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable(str(key)): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
    return value


def _own(name: str) -> Markup:
    """Return a file of ours that is put into the page as it is."""
    return Markup(files("search.report").joinpath(name).read_text(encoding="utf-8"))


def _json(data: dict[str, Any]) -> Markup:
    """Return JSON that cannot end its script element. Raises ValueError for NaN and infinities."""
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
