"""Commands on a cluster, and what this machine or a cluster has for jobs.

The only file outside of deploy/ that imports deploy.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from deploy.errors import ClusterError
from search.cli.options import AsJson, JobFile, Root, user_path
from search.cli.terminal import (
    Terminal,
    below_here,
    print_json,
    print_message,
    print_note,
    print_text,
    wide_console,
)
from search.job.commands import RUNS
from spaces.errors import GatesearchError, InputError

if TYPE_CHECKING:
    from deploy.client import Client, ClusterJob, Node
    from search.run.doctor import Diagnosis

app = typer.Typer()

Address = Annotated[
    str | None,
    typer.Option("--address", help="The cluster's Jobs API, http(s)://HOST:8265; or RAY_ADDRESS."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File with the cluster's token; or RAY_AUTH_TOKEN(_PATH).",
        parser=user_path,
    ),
]
SubmissionId = Annotated[
    str, typer.Argument(help="A submission id, or a job's name.", metavar="ID")
]


@contextmanager
def _cluster(address: str | None, token_file: Path | None) -> "Iterator[Client]":
    """Connect to a cluster: by default to one that is named, or to this machine's service."""
    from deploy.client import Client, find_token
    from deploy.client.connection import is_address_named
    from deploy.service import find_service

    with _cluster_errors():
        service = find_service()
        if service is not None and (address or not is_address_named()):
            address = address or service.address
            if address.rstrip("/") == service.address:
                token_file = token_file or service.token_file
        with Client(address, find_token(token_file)) as client:
            for warning in client.warnings:
                print_note(warning)
            yield client


@contextmanager
def _cluster_errors() -> Iterator[None]:
    """Have errors of a cluster become ours, with their exit codes."""
    try:
        yield
    except ClusterError as error:
        if error.exit_code == InputError.exit_code:
            raise InputError.of(error.place, error.rule, error.remedy) from error
        raise GatesearchError(str(error)) from error


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Of the Jobs API; default 8265.")] = None,
    mlflow_port: Annotated[int | None, typer.Option(help="Of MLflow; default 5000.")] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores for jobs; default all.")] = None,
    root: Root = RUNS,
) -> None:
    """Start the whole service on this machine: it takes jobs until `gatesearch down`.

    Commands on a cluster need no --address then. It listens on this machine alone.

    Example: gatesearch up && gatesearch submit deploy/jobs/quickstart.yaml
    """
    from deploy.service import up as start

    print_message("Starting MLflow's pages and a Ray head, in up to half a minute ...")
    with _cluster_errors():
        service, started = start(root.resolve(), port, mlflow_port, cpus)
    if not started:
        print_message("The service runs already.")
    print_text(f"jobs    {service.address}")
    print_text(f"MLflow  {service.mlflow}")
    print_text(f"root    {service.root}")
    print_text(f"token   {service.token_file}")


@app.command()
def down() -> None:
    """End the service on this machine; jobs that run go on when they are submitted again.

    Example: gatesearch down
    """
    from deploy.service import down as end

    with _cluster_errors():
        print_text("The service has ended." if end() else "No service runs here.")


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
    from spaces.own_task import OwnData

    job = JobSpec.load(job_file)
    data_files = job.task.data.files(job.base) if isinstance(job.task, OwnData) else []
    with _cluster(address, token_file) as cluster:
        submission = cluster.submit(
            job.base / job_file.name,
            data_files,
            name=job.name,
            root=cluster_root,
            again=again,
            content=job.text.encode(),
        )
    print_text(submission.id)
    if submission.continues:
        print_message(f"It continues where {submission.continues} ended.")
    if not submission.started:
        print_message(
            f"This job was submitted before and is {submission.state}; nothing was started."
        )


@app.command()
def jobs(address: Address = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the jobs that were submitted to a cluster.

    Example: gatesearch jobs --address http://127.0.0.1:8265
    """
    with _cluster(address, token_file) as cluster:
        found = cluster.jobs()
    if as_json:
        print_json([asdict(job) for job in found])
    else:
        wide_console().print(_jobs_table(found))


def _jobs_table(jobs: "Iterable[ClusterJob]") -> Table:
    from search.cli.tables import compact_table

    table = compact_table()
    for name in ("id", "job", "state", "submitted"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for job in jobs:
        submitted = ""
        if job.submitted is not None:
            submitted = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.submitted / 1000))
        table.add_row(
            escape(job.id), escape(job.name or ""), job.state, submitted, escape(job.message)
        )
    return table


@app.command()
def status(
    submission: SubmissionId,
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a submitted job.

    Example: gatesearch status vowels
    """
    with _cluster(address, token_file) as cluster:
        job = cluster.status(submission)
    if as_json:
        print_json(asdict(job))
        return
    print_text(f"{job.id}  {job.state}  {job.message}")
    for line in job.last_lines:
        print_text(f"  {line}")


@app.command()
def logs(
    submission: SubmissionId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until the job ends.")] = False,
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """Print the log of a submitted job.

    Example: gatesearch logs vowels -f
    """
    with _cluster(address, token_file) as cluster:
        for text in cluster.follow(submission) if follow else [cluster.logs(submission)]:
            print_text(text, end="")


@app.command()
def stop(submission: SubmissionId, address: Address = None, token_file: TokenFile = None) -> None:
    """Stop a submitted job in a state from which it resumes when submitted again.

    Example: gatesearch stop vowels
    """
    with _cluster(address, token_file) as cluster:
        print_text(cluster.stop(submission).state)


@app.command()
def fetch(
    submission: SubmissionId,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Fetch these too; `export` needs them.")
    ] = False,
    address: Address = None,
    token_file: TokenFile = None,
    root: Root = RUNS,
) -> None:
    """Fetch a submitted job's results, report and best configuration to this machine.

    Example: gatesearch fetch vowels
    """
    with _cluster(address, token_file) as cluster:
        folder = cluster.fetch(submission, root.resolve(), checkpoints=checkpoints)
    print_text(str(below_here(folder)))


@app.command()
def doctor(
    address: Annotated[
        str | None, typer.Option(help="Say it of the cluster whose Jobs API is there.")
    ] = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Say what this machine has for jobs, or with --address a cluster; start nothing.

    Exits with 1 and the reason if no job can run here.

    Example: gatesearch doctor --json
    """
    if address is not None:
        _examine_cluster(address, token_file, as_json)
        return
    from search.run.doctor import examine

    found = examine()
    if as_json:
        print_json(found.as_dict())
    else:
        _print_diagnosis(found)
    if not found.ready:
        reasons = "\n".join(str(problem) for problem in found.reasons)
        raise GatesearchError(f"No job can run here.\n{reasons}")


def _print_diagnosis(found: "Diagnosis") -> None:
    from search.cli.tables import machine_table, paths_table
    from search.results.format import plural

    console = Terminal()
    console.print(machine_table(found))
    if found.paths:
        console.print(paths_table(found))
    for problem in found.missing:
        line = f"missing: {problem.place}: {problem.rule}; {problem.remedy}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.ready:
        cards = len(found.machine.torch.usable_cards)
        on_cards = f" and {plural(cards, 'card')}" if cards else ", without a card"
        console.print(f"Jobs run here, on {plural(found.machine.cores.usable, 'core')}{on_cards}.")


def _examine_cluster(address: str, token_file: Path | None, as_json: bool) -> None:
    with _cluster(address, token_file) as cluster:
        version, nodes = cluster.ray_version(), cluster.nodes()
    if as_json:
        print_json({"ray_version": version, "nodes": [asdict(node) for node in nodes]})
        return
    console = Terminal()
    console.print(_nodes_table(nodes))
    console.print(f"The cluster takes jobs; it has Ray {version}.")
    if not any(node.cores for node in nodes):
        print_note("no node for trials is up; a cluster that scales starts one for a job")


def _nodes_table(nodes: "Iterable[Node]") -> Table:
    from search.cli.tables import compact_table
    from spaces.text import readable

    table = compact_table()
    for name in ("node", "cores", "memory", "cards"):
        table.add_column(name, no_wrap=True)
    for node in nodes:
        cards = f"{node.cards:g} {node.card or ''}".rstrip()
        where = f"{node.address} (head)" if node.head else node.address
        table.add_row(escape(where), f"{node.cores:g}", readable(node.memory_bytes), escape(cards))
    return table
