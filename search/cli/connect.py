"""How a command reaches a cluster, or the queue before one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.errors import ClusterError
from search.cli.options import user_path
from search.cli.terminal import print_note
from spaces.errors import GatesearchError, InputError

if TYPE_CHECKING:
    from deploy.client import Client

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
def connected(address: str | None, token_file: Path | None) -> "Iterator[Client]":
    """Connect to a cluster: by default to one that is named, or to this machine's service."""
    from deploy.client import Client, find_token
    from deploy.client.connection import is_address_named
    from deploy.service import last_service

    with cluster_errors():
        # One of which a part has died is still what is meant: its other parts have its address.
        service = last_service()
        if service is not None and (address or not is_address_named()):
            address = address or service.queue
            token_file = token_file or service.tokens.get(address.rstrip("/"))
        with Client(address, find_token(token_file), tell=print_note) as client:
            for warning in client.warnings:
                print_note(warning)
            yield client


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Have errors of a cluster become ours, with their exit codes."""
    try:
        yield
    except ClusterError as error:
        if error.exit_code == InputError.exit_code:
            raise InputError.of(error.place, error.rule, error.remedy) from error
        raise GatesearchError(str(error)) from error
