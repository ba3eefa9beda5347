"""Commands on a cluster, and what this machine or a cluster has for jobs."""

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from deploy.errors import ClusterError
from search.cli.connect import Address, SubmissionId, TokenFile, cluster_errors, connected
from search.cli.options import AsJson, JobFile, Root
from search.cli.terminal import (
    Terminal,
    below_here,
    print_json,
    print_message,
    print_note,
    print_text,
    wide_console,
)
from search.environment import STORAGE
from search.job.commands import RUNS
from spaces.errors import GatesearchError

if TYPE_CHECKING:
    from deploy.client import Client, ClusterJob, Node
    from search.run.doctor import Diagnosis

app = typer.Typer()

_WAIT_SECONDS = 5.0


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the Jobs API; default 8265.")
    ] = None,
    mlflow_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of MLflow; default 5000.")
    ] = None,
    queue_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Of the queue; default 8266.")
    ] = None,
    cpus: Annotated[int | None, typer.Option(min=1, help="Cores for jobs; default all.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs that run at once; others wait.")] = 1,
    root: Root = RUNS,
) -> None:
    """Start the whole service on this machine: it takes jobs until `gatesearch down`.

    Commands on a cluster need no --address then. It listens on this machine alone.

    Example: gatesearch up --jobs 2 && gatesearch submit deploy/jobs/quickstart.yaml
    """
    from deploy.service import find_service
    from deploy.service import up as start

    with cluster_errors():
        if find_service() is None:
            print_message("Starting MLflow's pages, a Ray head and a queue; it may take a minute.")
        service, started = start(
            root.resolve(),
            port,
            mlflow_port,
            cpus,
            queue_port=queue_port,
            jobs=jobs,
            say=print_message,
        )
    if not started:
        print_message("The service runs already, as it was started; to change it: gatesearch down")
    print_text(f"queue   {service.queue}  {service.queue_token_file}")
    print_text(f"jobs    {service.address}  {service.token_file}")
    print_text(f"MLflow  {service.mlflow}")
    print_text(f"root    {service.root}")


@app.command()
def down() -> None:
    """End the service on this machine; its jobs go on when it is started again.

    Example: gatesearch down
    """
    from deploy.service import down as end

    with cluster_errors():
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
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when it has ended; exit with 1 if it failed.")
    ] = False,
    priority: Annotated[
        int | None, typer.Option(help="Among your own jobs, -100 to 100; of a queue alone.")
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(help="URL that is told of its end by a POST of JSON; of a queue alone."),
    ] = None,
) -> None:
    """Submit a job to a Ray cluster, or the queue before one; no job is ever started twice.

    Example: gatesearch submit deploy/jobs/quickstart.yaml --address http://127.0.0.1:8265
    """
    from search.job.spec import JobSpec
    from spaces.own_task import OwnData

    job = JobSpec.load(job_file)
    data_files = job.task.data.files(job.base) if isinstance(job.task, OwnData) else []
    with connected(address, token_file) as cluster:
        submission = cluster.submit(
            job.base / job_file.name,
            data_files,
            name=job.name,
            root=cluster_root,
            again=again,
            content=job.text.encode(),
            priority=priority,
            notify=notify,
        )
        print_text(submission.id)
        if submission.continues:
            print_message(f"It continues where {submission.continues} ended.")
        if not submission.started:
            print_message(
                f"This job was submitted before and is {submission.state}; nothing was started."
            )
        if wait:
            _wait(cluster, submission.id)


def _wait(cluster: "Client", submission: str) -> None:
    """Return when a job has succeeded. Raises GatesearchError where it ends otherwise."""
    from deploy.client.patience import outlast

    told = ""
    while True:
        job = outlast(lambda: cluster.wait(submission, _WAIT_SECONDS))
        now = f"{job.state}, {where}" if (where := _place(job)) else job.state
        if now != told:
            print_message(now)
            told = now
        if job.is_ended:
            break
    if job.state != "succeeded":
        raise GatesearchError(
            f"{job.id} has {'failed' if job.state == 'failed' else 'been stopped'}: {job.message}\n"
            f"  `gatesearch logs {job.id}` shows why; submitted again it goes on"
        )


def _place(job: "ClusterJob") -> str:
    """Return where in a queue a job is, for people; nothing for one that does not wait."""
    waits = job.queue is not None and job.queue.place is not None
    return f"place {job.queue.place}" if job.queue is not None and waits else ""


@app.command()
def jobs(address: Address = None, token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List the jobs that were submitted to a cluster, or are in the queue before it.

    Example: gatesearch jobs --address http://127.0.0.1:8265
    """
    with connected(address, token_file) as cluster:
        found = cluster.jobs()
    if as_json:
        print_json([asdict(job) for job in found])
    else:
        wide_console().print(_jobs_table(found))


def _jobs_table(jobs: "Iterable[ClusterJob]") -> Table:
    from search.cli.tables import compact_table, day_and_minute

    jobs = list(jobs)
    queued = any(job.queue is not None for job in jobs)
    table = compact_table()
    for name in ("id", "job", *(["user"] if queued else []), "state", "submitted"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for job in jobs:
        user = [escape(job.queue.user if job.queue else "")] if queued else []
        message = " ".join(filter(None, (_place(job), job.message)))
        when = day_and_minute(job.submitted)
        table.add_row(
            escape(job.id), escape(job.name or ""), *user, job.state, when, escape(message)
        )
    return table


@app.command()
def status(
    submission: SubmissionId,
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a submitted job, and from its journal how far it is.

    Example: gatesearch status vowels
    """
    with connected(address, token_file) as cluster:
        job = cluster.status(submission)
        far = _standing(cluster, job)
    if as_json:
        print_json({**asdict(job), "standing": far})
        return
    print_text("  ".join(filter(None, (job.id, job.state, _place(job), job.message))))
    if far is not None:
        from search.run.standing import sentences

        for line in sentences(far):
            print_text(f"  {line}")
    for line in job.last_lines:
        print_text(f"  {line}")


def _standing(cluster: "Client", job: "ClusterJob") -> dict[str, Any] | None:
    """Return how far a job is by its journal; None where that is unknown.

    The journal of this machine's service is read here, that of a cluster there.
    """
    if job.name is None or job.state == "queued":
        return None
    from deploy.service import last_service

    try:
        service = last_service()
        if service is not None and cluster.address in service.tokens:
            from search.run.standing import standing

            return standing(Path(job.root or service.root).expanduser() / job.folder_name)
        return cluster.standing(job.id)
    except (ClusterError, GatesearchError) as error:
        why = error.rule if isinstance(error, ClusterError) else error
        print_note(f"how far the job is cannot be read: {why}")
        return None


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
    with connected(address, token_file) as cluster:
        for text in cluster.follow(submission) if follow else [cluster.logs(submission)]:
            print_text(text, end="")


@app.command()
def stop(submission: SubmissionId, address: Address = None, token_file: TokenFile = None) -> None:
    """Stop a submitted job in a state from which it resumes when submitted again.

    Example: gatesearch stop vowels
    """
    with connected(address, token_file) as cluster:
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

    By name, without --address, a job of $GATESEARCH_STORAGE comes from there and its bucket.

    Example: gatesearch fetch vowels
    """
    if address is None and os.environ.get(STORAGE):
        from search.run.shared_storage import fetch_shared

        if (found := fetch_shared(submission, root.resolve())) is not None:
            if checkpoints:
                print_note("checkpoints stay in the job's storage, where `export` reads them")
            print_text(str(below_here(found)))
            return
    with connected(address, token_file) as cluster:
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
    with connected(address, token_file) as cluster:
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
