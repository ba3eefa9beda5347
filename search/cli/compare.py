"""The command that compares a job's arms, and several jobs' across their tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.job_folder import job_folder
from search.cli.options import AsJson, Root, Target, user_path
from search.cli.terminal import Terminal, below_here, print_json, print_note, wide_console
from search.job.commands import RUNS, command
from spaces.errors import InputError
from spaces.text import listed

if TYPE_CHECKING:
    from search.results.evidence.across import Across


def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="A job's name; several are tasks to compare across.", metavar="NAME…"),
    ],
    target: Target = None,
    as_json: AsJson = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Of several jobs: write a page there.", parser=user_path),
    ] = None,
    root: Root = RUNS,
) -> None:
    """Compare a job's arms: budgets spent, best values, confirmation with fresh seeds.

    Of several jobs, one task each, say what holds over tasks.

    Example: gatesearch compare vowels --target 0.95
    Example: gatesearch compare vowels adding strings --report tasks.html
    """
    from search.results.read import read_results
    from search.results.summarise import compare as compare_

    folders = [job_folder(name, root) for name in names]
    if len(folders) > 1:
        from search.results.across_jobs import compare_jobs

        if target is not None:
            rule = "--target must stand with one job: a value of its metric means nothing elsewhere"
            raise InputError.of("gatesearch compare", rule, "leave it out, or name one job")
        _tell(compare_jobs([read_results(folder) for folder in folders]), as_json, report)
        return
    if report is not None:
        rule = "--report must stand with several jobs"
        raise InputError.of(
            "gatesearch compare", rule, f"`{command('report', folders[0])}` writes a job's page"
        )
    found = compare_(read_results(folders[0]), target)
    if as_json:
        print_json(found.as_dict())
    else:
        from search.results.terminal import comparison

        Terminal().print(comparison(found))


def _tell(found: "Across", as_json: bool, report: Path | None) -> None:
    if report is not None:
        from search.report.verdicts_page import write_verdicts

        tasks = {task.name: task for task in found.tasks}
        write_verdicts(
            report,
            f"{listed(dict.fromkeys(arm for task in found.tasks for arm in task.scores))} over "
            f"{len(tasks)} tasks",
            {name: task.verdict for name, task in tasks.items()},
            maximize={name: task.maximize for name, task in tasks.items()},
            across=found,
        )
    if as_json:
        print_json(found.as_dict())
    else:
        from search.results.terminal import across

        wide_console().print(across(found))
    if report is not None:
        print_note(f"the page is {below_here(report)}")
