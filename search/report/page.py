"""The report's page: figures and tables put into the template, written in one piece."""

from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from search.job.folder import JOB_FILE, has_job
from search.job.yaml_text import write
from search.report import (
    budget_figure,
    confirm_figure,
    contour_figure,
    cost_figure,
    curves_figure,
    distribution_figure,
    front_figures,
    importance_figure,
    parallel_figure,
    slice_figure,
    tables,
    timeline_figure,
    value_figures,
)
from search.report.frame import Figure
from search.report.template import as_json, own, rendered
from search.results import forest, sentences
from search.results import tables as shared_tables
from search.results.evidence import wording
from search.results.figures import Comparison
from search.results.format import ABSENT, count, plural
from search.results.importance import importance
from search.results.read import Results
from search.results.summarise import compare
from spaces.text import listed
from trainables.files import replace_file

#: The page's script is these files one after the other.
_SCRIPTS = (
    "canvas.js",
    "parallel.js",
    "slices.js",
    "contours.js",
    "timeline.js",
    "plots.js",
    "trials.js",
    "page.js",
)

#: Figures that follow each other and stand side by side where there is room.
_SIDE_BY_SIDE = ("budget", "distribution", "parameters", "time")


def write_report(results: Results, path: Path, comparison: Comparison | None = None) -> None:
    """Write report.html. Unfinished jobs get one too; it says that they are.

    comparison: what `compare` makes of the results, where it is at hand.
    """
    replace_file(path, _page(results, comparison or compare(results)).encode())


def _page(results: Results, comparison: Comparison) -> str:
    figures = _figures(comparison, results)
    script, plotly = scripts()
    data = {
        "comparison": comparison.as_dict(),
        "figures": [figure.as_dict() for figure in figures if figure.drawn],
        "trials": tables.trial_rows(results),
    }
    return rendered(
        "page.html.j2",
        title=f"{comparison.job}: {listed(results.arms)} on {comparison.task}",
        headline=sentences.headline(comparison),
        facts=_facts(results),
        when=_when(results),
        mlflow=results.mlflow,
        absent=ABSENT,
        info=results.info,
        comparison=comparison,
        forest=forest.of_verdict(comparison.verdict, maximize=comparison.metric.maximize),
        places={name: place for place, name in enumerate(results.arms)},
        figures=figures,
        side_by_side=_SIDE_BY_SIDE,
        tables=_tables(comparison, results),
        alike=tables.alike(comparison),
        beside=wording.beside(comparison.verdict),
        varies=wording.variance(comparison.verdict),
        trials=count(len(results.trials)) if results.trials else "",
        job_file=_job_file(results),
        script=script,
        plotly=plotly,
        data=as_json(data),
    )


def scripts() -> tuple[Markup, Markup]:
    """Return what runs in the page as it is put in: its own script, and Plotly."""
    from plotly.offline import get_plotlyjs

    own_one = Markup("\n").join(map(own, _SCRIPTS))
    strict = Markup('\n(() => {\n"use strict";\n%s\n})();\n')
    return strict % own_one, Markup(get_plotlyjs())


def _figures(comparison: Comparison, results: Results) -> list[Figure]:
    shares = {
        name: importance([trial for trial in results.search if trial.arm == name])
        for name in results.arms
    }
    found = confirm_figure.confirmed(comparison), cost_figure.value_against_costs(comparison)
    return [
        *(figure for figure in found if figure is not None),
        *front_figures.fronts(comparison, results.search, results.job.search.objectives),
        budget_figure.best_against_budget(comparison, results),
        distribution_figure.distributions(comparison, results),
        parallel_figure.parallel(comparison, results),
        importance_figure.importances(comparison, shares),
        slice_figure.slices(comparison, results),
        contour_figure.contours(comparison, results, shares),
        curves_figure.curves(comparison, results.search),
        value_figures.against_parameters(comparison, results.search),
        value_figures.against_time(comparison, results.search),
        timeline_figure.slots(comparison, results),
    ]


def _tables(comparison: Comparison, results: Results) -> dict[str, shared_tables.Table]:
    return {
        "arms": shared_tables.arms(comparison),
        "trade_offs": shared_tables.trade_offs(comparison),
        "costs": shared_tables.costs(comparison),
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
    left_out = "".join(f"; {each.sentence}" for each in info.left_out)
    return (
        f"Data: {info.name} ({info.kind}; {count(info.inputs)} inputs, {count(info.outputs)} "
        f"outputs, up to {plural(info.longest, 'step')} a sequence{left_out})"
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
    if results.job_file is not None:
        return results.job_file
    if has_job(results.folder):
        return (results.folder / JOB_FILE).read_text(encoding="utf-8", errors="replace")
    return write(results.job.dump())
