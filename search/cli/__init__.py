"""The command line: parses, makes one call, prints. Heavy libraries are imported by the commands.

Exit codes: 0 done, 1 the job failed or an arm has no complete trial, 2 the input was refused,
130 interrupted (`gatesearch resume` goes on).
"""

import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from spaces.errors import InputError

app = typer.Typer(
    name="gatesearch",
    help="Find out which recurrent cell suits your data: search, confirm, compare, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)

Root = Annotated[Path, typer.Option("--root", help="Folder of the jobs' folders.")]
Name = Annotated[str, typer.Argument(help="A job's name.")]
JobFile = Annotated[Path, typer.Argument(help="A job file (YAML).", metavar="JOB.yaml")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Address = Annotated[
    str | None,
    typer.Option("--address", help="The cluster's Jobs API, http(s)://HOST:8265; or RAY_ADDRESS."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the cluster's token; or RAY_AUTH_TOKEN(_PATH)."),
]
JobId = Annotated[str, typer.Argument(help="A submission id, or a job's name.", metavar="ID")]
RUNS = Path("runs")
INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it
PIPE_COLUMNS = 200  # of a table that goes to a file or another program


class Which(StrEnum):
    """Which trials `results` lists."""

    SEARCH = "search"
    CONFIRM = "confirm"
    ALL = "all"


def main() -> None:
    """Run the command line; the only place where exceptions become messages and exit codes."""
    code: int | None = 0
    try:
        _check_packages()
        code = app(standalone_mode=False)
        sys.stdout.flush()  # so that a reader that has gone is met here
    except InputError as error:
        code = _complain(str(error), 2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:  # the reader of our output has seen enough
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise  # else it is what typer makes of a broken pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at exit
    except typer.Exit as exit_:
        code = exit_.exit_code
    except Exception as error:
        code = _known(error)
    sys.exit(code or 0)


#: Modules whose exceptions are messages for people.
_KNOWN = (
    "search.journal.base",
    "search.run.tune_bridge",
    "trainables.checkpoints.base",
    "trainables.export.onnx.convert",
    "deploy.errors",
)


def _known(error: Exception) -> int:
    """Return the exit code of an exception that has words of its own; raise any other."""
    if hasattr(error, "show") and hasattr(error, "format_message"):
        error.show()  # what is wrong with the command line; typer brings a click of its own
        return 2
    if type(error).__name__ == "Abort":
        return INTERRUPTED
    if type(error).__module__ in _KNOWN:
        return _complain(str(error), getattr(error, "exit_code", 1))
    if isinstance(error, OSError) and error.filename is not None:
        return _complain(f"{error.filename}: {error.strerror}", 1)
    raise error


def _complain(message: str, code: int) -> int:
    Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)
    return code


def _check_packages() -> None:
    """Refuse to start where a folder of the user's stands before one of our packages."""
    home = Path(__file__).resolve().parents[2]
    for package in ("spaces", "trainables", "search", "deploy"):
        spec = importlib.util.find_spec(package)
        places = [] if spec is None else list(spec.submodule_search_locations or [])
        if [Path(place).resolve() for place in places] != [home / package]:
            found = ", ".join(places) or "nowhere"
            raise InputError.of(
                f"import of {package!r}",
                f"it resolves to {found} instead of {home / package}",
                "remove that folder from PYTHONPATH, or start gatesearch from another folder",
            )


def _warn(job: Any, data: Any) -> None:
    """Tell of settings that nothing reads and of data that is hard to learn from."""
    from trainables.data.sequences import scale_notes

    for warning in (*job.warnings, *scale_notes(data)):
        Console(stderr=True).print(
            f"note: {warning}", markup=False, highlight=False, soft_wrap=True
        )


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


# On this machine


@app.command()
def validate(job_file: JobFile) -> None:
    """Check a job file and its data; start nothing.

    Example: gatesearch validate deploy/jobs/quickstart.yaml
    """
    from search.results.format import plural
    from search.run import session

    job, data = session.load(job_file)
    _warn(job, data)
    info = data.info
    Console().print(
        f"{escape(str(job_file))} is valid: {plural(len(job.arms), 'arm')} on {escape(info.name)} "
        f"({info.kind}, {len(data.train)} training, {len(data.validation)} validation and "
        f"{len(data.test)} test sequences), decided by {info.metric.name}.",
        soft_wrap=True,
    )


@app.command()
def schema() -> None:
    """Print the job file's JSON Schema, with which editors complete and check it.

    Example: gatesearch schema > gatesearch.schema.json
    """
    from search.job.spec import json_schema

    _print_json(json_schema())


@app.command()
def run(job_file: JobFile, root: Root = RUNS) -> None:
    """Run a job to its report and export; take it up again if it was begun before.

    Example: gatesearch run deploy/jobs/quickstart.yaml
    """
    from search.run import session

    job, data = session.load(job_file)
    _warn(job, data)
    folder = session.begin(job, data.info, job_file, root.resolve())
    _execute(job, data, folder)


@app.command()
def resume(name: Name, root: Root = RUNS) -> None:
    """Go on with a job that was interrupted, from its journal and checkpoints.

    Example: gatesearch resume vowels
    """
    _take_up(name, root)


@app.command()
def extend(
    name: Name,
    trials: Annotated[int, typer.Option(min=0, help="More search trials for each arm.")] = 0,
    seeds: Annotated[int, typer.Option(min=0, help="More seeds for each finalist.")] = 0,
    root: Root = RUNS,
) -> None:
    """Add budget to a finished job and run it.

    Example: gatesearch extend vowels --seeds 10
    """
    if not trials and not seeds:
        raise InputError.of("gatesearch extend", "nothing to add", "give --trials or --seeds")
    _take_up(name, root, trials=trials, seeds=seeds)


def _take_up(name: str, root: Path, *, trials: int = 0, seeds: int = 0) -> None:
    from search.job.folder import stored
    from trainables.data import tasks

    folder = _folder(name, root)
    job = stored(folder)
    data = tasks.load(job.task, job.base)
    _execute(job.check(data.info), data, folder, trials=trials, seeds=seeds)


def _execute(job: Any, data: Any, folder: Path, *, trials: int = 0, seeds: int = 0) -> None:
    from search.process import interruptible
    from search.run import session

    console = Console()
    root = shlex.quote(str(_short(folder.parent)))
    where = "" if folder.parent == RUNS.resolve() else f" --root {root}"
    try:
        with interruptible():
            sound = session.execute(job, data, folder, console, trials=trials, seeds=seeds)
    except KeyboardInterrupt:
        again = f"gatesearch resume {job.name}{where}"
        raise typer.Exit(
            _complain(f"Interrupted; nothing is lost. `{again}` goes on.", INTERRUPTED)
        ) from None
    places = [f"report     {_short(folder / 'report.html')}"]
    if (folder / "best").is_dir():
        places.append(f"export     {_short(folder / 'best')}")
    places.append(f"dashboard  gatesearch dashboard{where}")
    console.print("\n".join(places), markup=False, highlight=False, soft_wrap=True)
    if not sound:
        raise typer.Exit(
            _complain("An arm has no complete trial, or nothing could be exported.", 1)
        )


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _folder(name: str, root: Path) -> Path:
    """Return a job's folder. Raises InputError, naming the nearest job there is."""
    folder = root.resolve() / name
    if not (folder / "job.yaml").is_file():
        from spaces.text import listed

        names = sorted(path.parent.name for path in root.glob("*/job.yaml"))
        there = f"there are {listed(names)}" if names else "there are no jobs"
        rule = f"there is no job named {name!r} in {root}: {there}"
        raise InputError.of(name, rule, "name one of them, or give another folder with --root")
    return folder


@app.command()
def results(
    name: Name,
    phase: Annotated[Which, typer.Option(help="Which trials.")] = Which.SEARCH,
    as_json: AsJson = False,
    root: Root = RUNS,
) -> None:
    """List a job's trials; also while it runs.

    Example: gatesearch results vowels --json --phase all
    """
    from search.results.read import read_results

    found = read_results(_folder(name, root))
    records = [r for r in found.records if phase in (Which.ALL, r.phase)]
    if as_json:
        _print_json([record.as_dict() for record in records])
    else:
        from search.cli.tables import trials_table

        console = Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS)
        driven = found.driven
        console.print(trials_table(records, found.info.metric.name, console.width, driven=driven))


@app.command()
def compare(name: Name, as_json: AsJson = False, root: Root = RUNS) -> None:
    """Compare a job's arms: budgets spent, best values, confirmation with fresh seeds.

    Example: gatesearch compare vowels
    """
    from search.results.read import read_results
    from search.results.summarise import compare as compare_

    found = compare_(read_results(_folder(name, root)))
    if as_json:
        _print_json(found.as_dict())
    else:
        from search.results.tables import comparison

        Console().print(comparison(found))


@app.command()
def report(name: Name, root: Root = RUNS) -> None:
    """Write report.html and results.parquet anew; also while the job runs.

    Example: gatesearch report vowels
    """
    from search.report.page import write_report
    from search.results.parquet import write_parquet
    from search.results.read import read_results

    folder = _folder(name, root)
    found = read_results(folder)
    write_parquet(found, folder / "results.parquet")
    write_report(found, folder / "report.html")
    print(_short(folder / "report.html"))


@app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
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

    paths = export_(read_results(_folder(name, root)), out, top=top, arm=arm, force=force)
    for path in paths:
        print(_short(path.resolve()))
    if len(paths) < top:
        few = plural(len(paths), "complete trial")
        _complain(f"note: --top {top} asks for more than there is: {few}", 0)


@app.command()
def mirror(name: Name, root: Root = RUNS) -> None:
    """Fill MLflow from a job's journal: what is missing is added, nothing is doubled.

    Example: gatesearch mirror vowels
    """
    from search.job.folder import stored
    from search.tracking import follower

    folder = _folder(name, root)
    state = follower.mirror(folder, stored(folder).tracking.uri)
    if not state.complete:
        raise typer.Exit(_complain(f"MLflow is not complete: {state.error or 'no reason'}", 1))
    print(f"{len(state.runs)} runs are in MLflow.")


@app.command()
def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    root: Root = RUNS,
) -> None:
    """Serve the MLflow pages of all jobs below --root until Ctrl-C.

    Example: gatesearch dashboard --port 5001
    """
    from search.tracking.dashboard import serve

    serve(root.resolve(), host=host, port=port)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="An exported folder.", metavar="DIR")],
    data: Annotated[Path, typer.Argument(help="An .npz with x and lengths.", metavar="DATA")],
    out: Annotated[Path | None, typer.Option(help="Write .csv or .npz there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Apply an exported model to new sequences.

    Example: gatesearch predict runs/vowels/best new.npz --out predictions.csv
    """
    from search.export.predict import predict as predict_

    predict_(folder, data, out, as_json=as_json)


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the built-in tasks.

    Example: gatesearch tasks
    """
    from search.cli.tables import tasks_table
    from trainables.data.tasks import describe

    if as_json:
        _print_json(describe())
    else:
        Console().print(tasks_table(describe()))


@app.command()
def cells(as_json: AsJson = False) -> None:
    """List the cells and gate variants, with equations, parameter counts and sources.

    Example: gatesearch cells --json
    """
    from search.cli.tables import cells_table, describe_cells

    if as_json:
        _print_json(describe_cells())
    else:
        console = Console()
        console.print(cells_table(console.width))


# On a cluster


@contextmanager
def _cluster(address: str | None, token_file: Path | None) -> Iterator[Any]:
    from deploy.client import Client, find_token

    with Client(address, find_token(token_file)) as client:
        for warning in client.warnings:
            _complain(f"note: {warning}", 0)
        yield client


@app.command()
def submit(
    job_file: JobFile,
    address: Address = None,
    token_file: TokenFile = None,
    cluster_root: Annotated[
        str | None, typer.Option(help="Folder of jobs on the cluster; default GATESEARCH_ROOT.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Submit a finished job once more.")] = False,
) -> None:
    """Submit a job to a Ray cluster; the same job is never started twice.

    Example: gatesearch submit deploy/jobs/quickstart.yaml --address http://127.0.0.1:8265
    """
    from search.job.spec import JobSpec

    job = JobSpec.load(job_file)
    data_files = [Path(job.task.data)] if hasattr(job.task, "data") else []
    with _cluster(address, token_file) as cluster:
        made = cluster.submit(job_file, data_files, name=job.name, root=cluster_root, again=again)
    print(made.id)
    if made.continues:
        _complain(f"It goes on where {made.continues} ended.", 0)
    if not made.started:
        _complain(f"This job was submitted before and is {made.state}; nothing was started.", 0)


@app.command()
def jobs(address: Address = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the jobs that were submitted to a cluster.

    Example: gatesearch jobs --address http://127.0.0.1:8265
    """
    from dataclasses import asdict

    with _cluster(address, token_file) as cluster:
        found = cluster.jobs()
    if as_json:
        _print_json([asdict(job) for job in found])
    else:
        from search.cli.tables import jobs_table

        Console().print(jobs_table(found))


@app.command()
def status(
    job_id: JobId, address: Address = None, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Show the state of a submitted job.

    Example: gatesearch status vowels
    """
    from dataclasses import asdict

    with _cluster(address, token_file) as cluster:
        job = cluster.status(job_id)
    if as_json:
        _print_json(asdict(job))
        return
    print(f"{job.id}  {job.state}  {job.message}")
    for line in job.last_lines:
        print(f"  {line}")


@app.command()
def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until the job ends.")] = False,
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """Print the log of a submitted job.

    Example: gatesearch logs vowels -f
    """
    with _cluster(address, token_file) as cluster:
        for text in cluster.follow(job_id) if follow else [cluster.logs(job_id)]:
            print(text, end="", flush=True)


@app.command()
def stop(job_id: JobId, address: Address = None, token_file: TokenFile = None) -> None:
    """Stop a submitted job in a state from which it resumes when submitted again.

    Example: gatesearch stop vowels
    """
    with _cluster(address, token_file) as cluster:
        print(cluster.stop(job_id).state)


@app.command()
def fetch(
    job_id: JobId,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Bring these too; `export` needs them.")
    ] = False,
    address: Address = None,
    token_file: TokenFile = None,
    root: Root = RUNS,
) -> None:
    """Bring a submitted job's results, report and best configuration to this machine.

    Example: gatesearch fetch vowels
    """
    with _cluster(address, token_file) as cluster:
        print(_short(cluster.fetch(job_id, root.resolve(), checkpoints=checkpoints)))
