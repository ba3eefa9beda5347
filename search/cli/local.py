"""Commands on this machine: run a job, read its results, use its models."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from search import environment
from search.cli.compare import compare
from search.cli.job_folder import job_folder, jobs_below
from search.cli.options import AsJson, JobFile, JobName, Root, user_path
from search.cli.terminal import (
    Terminal,
    below_here,
    check_output_taken,
    outlast_readers,
    print_json,
    print_note,
    print_text,
    wide_console,
)
from search.job.commands import RUNS, command
from search.supervisor import continue_in_child, tell_how_to_go_on
from spaces.errors import GatesearchError, InputError

if TYPE_CHECKING:
    from search.job.spec import JobSpec
    from trainables.data.sequences import Data

app = typer.Typer()


class ShownPhase(StrEnum):
    """The trials that `results` lists."""

    SEARCH = "search"
    CONFIRM = "confirm"
    ALL = "all"


@app.command()
def validate(job_file: JobFile) -> None:
    """Check a job file and its data; start nothing.

    Example: gatesearch validate deploy/jobs/quickstart.yaml
    """
    from search.results.format import plural
    from search.run import session
    from spaces.text import listed

    job, data = session.load(job_file)
    for note in session.notes(job, data):
        print_note(note)
    info = data.info
    Terminal().print(
        f"{escape(str(job_file))} is valid: {plural(len(job.arms), 'arm')} on {escape(info.name)} "
        f"({info.kind}, {len(data.train)} training, {len(data.validation)} validation and "
        f"{len(data.test)} test sequences), decided by {info.metric.name}.",
        soft_wrap=True,
    )
    for arm in job.arms:
        searched = listed(arm.domains()) or "nothing: it has one configuration"
        Terminal().print(f"{arm.name} searches {searched}.", soft_wrap=True)
    if job.resources.packed:
        also = " Nodes without a GPU take trials too." if job.resources.cpu_trials else ""
        Terminal().print(
            "Each worker has a GPU of its own and takes as many trials at once as memory and speed "
            f"allow (gpus_per_trial: auto).{also}",
            soft_wrap=True,
        )


@app.command()
def schema() -> None:
    """Print the job file's JSON Schema, with which editors complete and check it.

    Example: gatesearch schema > gatesearch.schema.json
    """
    from search.job.spec import json_schema

    print_json(json_schema())


@app.command()
def run(job_file: JobFile, root: Root = RUNS) -> None:
    """Run a job to its report and export; continue it where it was begun before.

    Example: gatesearch run deploy/jobs/quickstart.yaml
    """
    _begin_with_ray()
    from search.run import session

    job, data = session.load(job_file)
    for note in session.notes(job, data):
        print_note(note)
    folder = session.begin(job, data.info, job_file, root.resolve())
    _execute(job, data, folder)


@app.command()
def resume(name: JobName, root: Root = RUNS) -> None:
    """Continue a job that was interrupted, from its journal and checkpoints.

    Example: gatesearch resume vowels
    """
    _continue(job_folder(name, root))


@app.command()
def extend(
    name: JobName,
    trials: Annotated[int, typer.Option(min=0, help="More search trials for each arm.")] = 0,
    replicates: Annotated[
        int, typer.Option(min=0, help="More replicates, of whatever design the job has.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=0, help="The same, of a job by seeds alone.")] = 0,
    root: Root = RUNS,
) -> None:
    """Add budget to a finished job and run it.

    Example: gatesearch extend vowels --replicates 10
    """
    if not trials and not seeds and not replicates:
        rule = "an extension must add trials or replicates, not nothing"
        raise InputError.of("gatesearch extend", rule, "give --trials or --replicates")
    _continue(job_folder(name, root), trials=trials, seeds=seeds, replicates=replicates)


def _continue(folder: Path, **more: int) -> None:
    _begin_with_ray()
    from search.job.folder import stored_job
    from trainables.data import tasks

    tell_how_to_go_on(_how_to_go_on(folder))
    job = stored_job(folder)
    data = tasks.load(job.task, job.base)
    _execute(job.check(data.info), data, folder, **more)


def _begin_with_ray() -> None:
    """Prepare for Ray, which heeds neither signals nor the user's environment as it should."""
    continue_in_child()
    for note in environment.prepare():
        print_note(note)


def _execute(job: "JobSpec", data: "Data", folder: Path, **more: int) -> None:
    """Run a job to its end; more: what is added to its budget first, see session.execute."""
    from search.job.folder import BEST, REPORT
    from search.run import session

    go_on = _how_to_go_on(folder)
    tell_how_to_go_on(go_on)
    outlast_readers()
    console = Terminal()
    try:
        succeeded = session.execute(job, data, folder, console, **more)
    except OSError as error:
        if not error.strerror:
            raise
        message = f"{error.filename or folder}: {error.strerror}; {go_on}"
        raise GatesearchError(message) from error
    places = [f"report     {below_here(folder / REPORT)}"]
    if (folder / BEST).is_dir():
        places.append(f"export     {below_here(folder / BEST)}")
    places.append(f"dashboard  {command('dashboard', folder)}")
    console.print("\n".join(places), markup=False, highlight=False, soft_wrap=True)
    if not succeeded:
        raise GatesearchError("An arm has no complete trial, or nothing could be exported.")
    check_output_taken()


def _how_to_go_on(folder: Path) -> str:
    return f"nothing is lost. `{command('resume', folder)}` continues the job."


@app.command()
def results(
    name: JobName,
    phase: Annotated[ShownPhase, typer.Option(help="Which trials.")] = ShownPhase.SEARCH,
    as_json: AsJson = False,
    root: Root = RUNS,
) -> None:
    """List a job's trials; also while it runs.

    Example: gatesearch results vowels --json --phase all
    """
    from search.results.read import read_results

    found = read_results(job_folder(name, root))
    trials = [trial for trial in found.trials if phase in (ShownPhase.ALL, trial.phase)]
    if as_json:
        print_json([trial.as_dict() for trial in trials])
    else:
        from search.cli.tables import trials_table

        console = wide_console()
        again = None if found.driven else command("resume", found.folder)
        console.print(trials_table(trials, found.info.metric.name, console.width, again))
    if found.full is not None:
        print_note(f"the job ended: {found.full}")


app.command()(compare)


@app.command()
def report(name: JobName, root: Root = RUNS) -> None:
    """Write report.html, verdict.json and results.parquet anew; also while the job runs.

    Example: gatesearch report vowels
    """
    from search.job.folder import REPORT
    from search.report.files import write_files
    from search.results.read import read_results

    folder = job_folder(name, root)
    write_files(read_results(folder))
    print_text(str(below_here(folder / REPORT)))


@app.command(name="equal-size")
def equal_size(
    name: JobName,
    parameters: Annotated[
        int | None, typer.Option(min=1, help="Of each model; by default the leaders' mean size.")
    ] = None,
    root: Root = RUNS,
) -> None:
    """Print the job file that compares a job's arms at equal size.

    Example: gatesearch equal-size vowels > vowels-equal.yaml
    """
    from search.results.equal_size import equal_size_job
    from search.results.read import read_results

    print_text(equal_size_job(read_results(job_folder(name, root)), parameters), end="")


@app.command()
def export(
    name: JobName,
    out: Annotated[Path, typer.Option(help="Folder to write to.", parser=user_path)],
    top: Annotated[int, typer.Option(min=1, help="How many configurations.")] = 1,
    arm: Annotated[str | None, typer.Option(help="Of one arm only.")] = None,
    force: Annotated[bool, typer.Option(help="Replace former exports.")] = False,
    root: Root = RUNS,
) -> None:
    """Export the best configurations: job file, weights, ONNX model and model card.

    Example: gatesearch export vowels --top 3 --out exports
    """
    from search.export.export import export as export_
    from search.results.format import plural
    from search.results.read import read_results
    from search.run.lines import waits_shown

    found = read_results(job_folder(name, root))
    with waits_shown(Terminal(stderr=True)):
        paths = export_(found, out, top=top, arm=arm, force=force)
    for path in paths:
        print_text(str(below_here(path.resolve())))
    if len(paths) < top:
        complete = plural(len(paths), "complete trial")
        print_note(f"--top {top} asks for more than there is: {complete}")


@app.command()
def clean(
    name: Annotated[
        str | None, typer.Argument(help="A job's name; all jobs without.", metavar="[NAME]")
    ] = None,
    keep_best: Annotated[
        int | None,
        typer.Option(min=1, help="Of each arm; by default as many as the job file says."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Remove nothing; say what would go.")
    ] = False,
    root: Root = RUNS,
) -> None:
    """Remove what jobs need no more: checkpoints of no further use, drafts of killed writers.

    A job that runs is left alone; results, reports, exports and journals stay as they are.

    Example: gatesearch clean vowels --keep-best 1
    """
    from search.run.clean import clean_job, clean_jobs
    from search.run.lines import waits_shown

    with waits_shown(Terminal(stderr=True)):
        if name is not None:
            print_text(clean_job(job_folder(name, root), keep_best, dry_run=dry_run))
            return
        for sentence in clean_jobs(jobs_below(root), keep_best, dry_run=dry_run):
            print_text(sentence)


@app.command()
def predict(
    folder: Annotated[
        Path, typer.Argument(help="An exported folder.", metavar="DIR", parser=user_path)
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="A .csv, .parquet, .ts, .txt or .npz file, or a folder.",
            metavar="DATA",
            parser=user_path,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write .csv or .npz there.", parser=user_path)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply an exported model to new sequences.

    Example: gatesearch predict runs/vowels/best new.npz --out predictions.csv
    """
    from search.export.predict import predict as predict_
    from search.results.format import plural

    prediction = predict_(folder, data, out)
    n, summary = plural(len(prediction), "sequence"), prediction.summary()
    if as_json:
        print_json(prediction.as_dict(), indent=None)
    elif out is None:
        print_text(prediction.csv(), end="")
        print_text(f"{n}\n{summary}".rstrip(), error=True)
    else:
        print_text(f"{n}, written to {out}\n{summary}".rstrip())


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the built-in tasks.

    Example: gatesearch tasks
    """
    from search.cli.tables import tasks_table
    from trainables.data.tasks import describe

    if as_json:
        print_json(describe())
    else:
        terminal = Terminal()
        terminal.print(tasks_table(describe(), terminal.width))


@app.command()
def cells(as_json: AsJson = False) -> None:
    """List the cells and gate variants, with equations, parameter counts and sources.

    Example: gatesearch cells --json
    """
    from search.cli.tables import cells_table, describe_cells

    if as_json:
        print_json(describe_cells())
    else:
        console = Terminal()
        console.print(cells_table(console.width))
