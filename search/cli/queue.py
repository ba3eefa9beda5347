"""The queue before a cluster: who runs when, seen and changed."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from search.cli.connect import Address, SubmissionId, TokenFile, cluster_errors, connected
from search.cli.options import AsJson
from search.cli.terminal import print_json, print_message, print_text, wide_console
from spaces.errors import InputError

if TYPE_CHECKING:
    from deploy.client.queue import Listing

app = typer.Typer()
queue = typer.Typer(invoke_without_command=True)
user = typer.Typer(no_args_is_help=True)
app.add_typer(queue, name="queue")
queue.add_typer(user, name="user", help="People who share the queue, and their tokens.")


@queue.callback()
def show(
    context: typer.Context,
    address: Address = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show who runs and who waits, in the order in which they will start.

    The next slot goes to the user who has the fewest for their weight; among equal ones to who has
    waited longest; then by --priority, then to the first.

    Example: gatesearch queue
    """
    if context.invoked_subcommand is not None:
        if address is not None or token_file is not None or as_json:
            rule = "options must stand behind the command that they are of"
            remedy = f"gatesearch queue {context.invoked_subcommand} OPTIONS"
            raise InputError.of("gatesearch queue", rule, remedy)
        return
    with connected(address, token_file) as cluster:
        found = cluster.queue().list()
    if as_json:
        print_json(asdict(found))
        return
    wide_console().print(_table(found))
    wide_console().print(_users_table(found))
    print_text(f"{found.taken} of {found.limit} slots are taken.")
    if found.away is not None:
        print_message(f"The cluster does not answer: {found.away}. Jobs go on when it does.")


def _table(found: "Listing") -> Table:
    from search.cli.tables import compact_table, day_and_minute

    table = compact_table()
    for name in ("place", "user", "priority", "state", "slots", "since", "job", "id"):
        table.add_column(name, no_wrap=True)
    for job in found.jobs:
        assert job.queue is not None
        since = job.queue.started or job.submitted
        table.add_row(
            "" if job.queue.place is None else str(job.queue.place),
            escape(job.queue.user),
            str(job.queue.priority),
            job.state,
            str(job.queue.slots),
            day_and_minute(since),
            escape(job.name or ""),
            escape(job.id),
        )
    return table


def _users_table(found: "Listing") -> Table:
    from search.cli.tables import compact_table

    table = compact_table()
    for name in ("user", "weight", "slots", "admin"):
        table.add_column(name, no_wrap=True)
    for each in found.users:
        row = (str(each.weight), str(each.slots), "yes" if each.admin else "")
        table.add_row(escape(each.name), *row)
    return table


@queue.command()
def change(
    submission: SubmissionId,
    priority: Annotated[
        int | None, typer.Option(help="Among its user's jobs, -100 to 100; the higher, the sooner.")
    ] = None,
    move: Annotated[
        int | None, typer.Option(help="Its place among its user's jobs that wait, from 1.")
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End it; one that runs ends in good order.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Queue one that was stopped or failed once more.")
    ] = False,
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """Change a job's place in the queue: your own, or as an admin anybody's.

    Example: gatesearch queue change vowels --move 1
    """
    changes = {"priority": priority, "move": move}
    wanted = {name: number for name, number in changes.items() if number is not None}
    if bool(wanted) + cancel + resume != 1:
        rule = "one of --priority and --move, --cancel and --resume must be given"
        raise InputError.of("gatesearch queue change", rule, "give one of them")
    with connected(address, token_file) as cluster:
        line, job = cluster.queue(), cluster.find(submission)
        if cancel:
            print_text(cluster.stop(job.id).state)
        elif resume:
            again = line.resume(job.id)
            print_text(again.id)
            if not again.started:
                print_message(f"The job is {again.state}; nothing was queued.")
        else:
            line.change(job.id, **wanted)


@queue.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On this machine's loopback.")] = 8266,
    jobs: Annotated[int, typer.Option(min=1, help="Jobs that run at once; others wait.")] = 1,
    cluster_root: Annotated[
        str | None, typer.Option(help="Folder of jobs on the cluster; default GATESEARCH_ROOT.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="postgresql://USER@HOST/DATABASE: keep it there.")
    ] = None,
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """Serve a queue before a Ray cluster, until Ctrl-C; `gatesearch up` does so by itself.

    It is kept in $GATESEARCH_SERVICE/queue, where your own token is too, or in --database. Its
    users take it for the cluster: --address http://127.0.0.1:8266, directly or through a tunnel,
    and the token of `gatesearch queue user add`.

    Example: gatesearch queue serve --address http://127.0.0.1:8265 --jobs 4
    """
    from deploy.client import find_token
    from deploy.client.commands import shell_root
    from deploy.client.connection import find_address
    from deploy.queue.serve import serve as serve_queue
    from deploy.service.state import queue_folder
    from search.job.urls import url_fault

    if database is not None and (fault := url_fault(database, "postgresql")) is not None:
        raise InputError.of("--database", fault.rule, fault.remedy)
    with cluster_errors():
        shell_root(cluster_root)
        found, token = find_address(address), find_token(token_file)
        serve_queue(queue_folder(), found, token, port, jobs, cluster_root, print_message, database)


@user.command()
def add(
    name: Annotated[str, typer.Argument(help="1 to 32 of a-z, 0-9, - and _.")],
    weight: Annotated[
        int | None, typer.Option(help="Their share of the slots, 1 to 100; at first 1.")
    ] = None,
    admin: Annotated[
        bool | None,
        typer.Option("--admin/--no-admin", help="May change everybody's jobs; at first not."),
    ] = None,
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """Print a token for a user, and end the one before.

    It is kept nowhere, but that of whoever started the queue in its folder.

    What is not given stays as it is.

    Example: gatesearch queue user add ann > ann.token
    """
    with connected(address, token_file) as cluster:
        print_text(cluster.queue().add_user(name, admin=admin, weight=weight))


@user.command()
def remove(
    name: Annotated[str, typer.Argument(help="A user of the queue.")],
    address: Address = None,
    token_file: TokenFile = None,
) -> None:
    """End a user's token; their jobs stay in the queue.

    Example: gatesearch queue user remove ann
    """
    with connected(address, token_file) as cluster:
        cluster.queue().remove_user(name)
