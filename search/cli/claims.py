"""The command that holds what articles claim against jobs that run here."""

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import AsJson, Root, user_path
from search.cli.terminal import print_json, print_note, print_text, wide_console
from search.job.commands import RUNS
from spaces.errors import InputError
from spaces.text import listed, show, suggestion

app = typer.Typer()


@app.command()
def claims(
    only: Annotated[
        list[str] | None, typer.Option(help="One claim by its name; may be given several times.")
    ] = None,
    summarise: Annotated[
        bool, typer.Option("--summarise", help="Run nothing; tell what there is.")
    ] = False,
    jobs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of other job files of the same names: of another size, or on your data.",
            parser=user_path,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a page.")] = False,
    as_json: AsJson = False,
    root: Root = RUNS,
) -> None:
    """Run what articles claim about these cells, and say whether it holds, task by task.

    Its jobs lie in deploy/jobs/claims; all of them take half an hour or more on two cores. What is
    done is not run again, what was interrupted goes on.

    Example: gatesearch claims --only gru-faster
    """
    from search.results.claims import shown
    from search.results.claims.table import CLAIMS, jobs_of
    from search.results.terminal import draw
    from search.run.claims import installed_jobs, known, run_jobs

    names = [claim.name for claim in CLAIMS]
    for name in only or ():
        if name not in names:
            rule = f"--only must be {listed(names, 'or')}, not {show(name)}"
            raise InputError.of("gatesearch claims", rule, suggestion(name, names))
    chosen = tuple(claim for claim in CLAIMS if not only or claim.name in only)
    needed, place = jobs_of(chosen), root.resolve()
    if not summarise:
        run_jobs(needed, jobs or installed_jobs(), place, print_note)
    results = {job: found for job in needed if (found := known(job, place)) is not None}
    examined = [shown.examine(claim, results) for claim in chosen]
    if as_json:
        print_json([one.as_dict() for one in examined])
    elif markdown:
        print_text(shown.markdown(examined, results))
    else:
        console = wide_console()
        for one in examined:
            console.print(f"{one.claim.name}: {one.claim.sentence}", markup=False, highlight=False)
            console.print(f"  {one.claim.source}. {one.summary}.", markup=False, highlight=False)
        console.print()
        console.print(draw(shown.table(examined)))
