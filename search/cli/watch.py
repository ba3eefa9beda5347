"""What shows a job to browsers while it runs: the live page, and studies for optuna-dashboard."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.errors import ClusterError
from search.cli.connect import Address, TokenFile, cluster_errors, connected
from search.cli.job_folder import job_folder
from search.cli.options import JobName, Root, user_path
from search.cli.terminal import print_text
from search.job.commands import RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from search.watch.control import Control
    from search.watch.follow import Followed
    from search.watch.serve import Listening

app = typer.Typer()


@app.command()
def watch(
    name: JobName,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8270,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Another name under which browsers open the page."),
    ] = None,
    page_token_file: Annotated[
        Path | None,
        typer.Option(
            "--page-token-file",
            help="File of the page's own token, made if need be; else one of this user's.",
            parser=user_path,
        ),
    ] = None,
    address: Address = None,
    token_file: TokenFile = None,
    root: Root = RUNS,
) -> None:
    """Serve a page that shows a job while it runs, until Ctrl-C: trials, curves, report, verdict.

    The address that is printed with a token can stop and resume the job as well. With --address
    the job is one that was submitted to a cluster.

    Example: gatesearch watch vowels
    """
    from search.watch.serve import Listening, serve
    from search.watch.token import read_token, standard_file

    folder = None if address else job_folder(name, root)
    token = read_token(page_token_file or standard_file())
    at = Listening(host, port, token, allow or ())
    if folder is None:
        _watch_cluster(name, at, address, token_file)
    else:
        serve(folder, at, print_text, _control_of_service(folder))


def _watch_cluster(
    name: str, at: "Listening", address: str | None, token_file: Path | None
) -> None:
    """Serve the page of a job on a cluster, from a copy of its journal that follows it."""
    from deploy.client.journal import WatchedCluster
    from search.watch.remote import RemoteControl, copied
    from search.watch.serve import serve

    with connected(address, token_file) as client:
        job, cluster = client.find(name), WatchedCluster(client)
        folder = job.folder_name
    with cluster_errors(), copied(cluster, job.id, folder) as copy:
        serve(copy.folder, at, print_text, lambda _: RemoteControl(cluster, job.id), copy)


def _control_of_service(folder: Path) -> "Callable[[Followed], Control] | None":
    """Return what stops and resumes a job of this machine's service; None for another one."""
    from deploy.client import Client, find_token
    from deploy.client.journal import WatchedCluster
    from deploy.service import find_service
    from search.watch.remote import RemoteControl

    try:
        service = find_service()
        if service is None or Path(service.root).resolve() != folder.parent:
            return None
        client = Client(service.queue, find_token(service.tokens[service.queue]))
        submission = client.find(folder.name).id
    except ClusterError:
        return None
    return lambda _: RemoteControl(WatchedCluster(client), submission)


@app.command()
def study(
    name: JobName,
    to: Annotated[str, typer.Option("--to", help="sqlite:///FILE; the file must not exist.")],
    root: Root = RUNS,
) -> None:
    """Write the arms' studies as a storage of Optuna's, for optuna-dashboard and its like.

    Example: gatesearch study vowels --to sqlite:///vowels.db
    """
    from search.results.format import plural
    from search.study.copy import copy_studies

    for study_name, trials in copy_studies(job_folder(name, root), to).items():
        print_text(f"{study_name}: {plural(trials, 'trial')}")
