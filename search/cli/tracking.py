"""Commands that bring a job's runs to MLflow and show them there."""

import os
import sys
from typing import Annotated

import typer

from search.cli.job_folder import job_folder, whole_folder
from search.cli.options import JobName, Root
from search.cli.terminal import print_text
from search.job.commands import RUNS
from spaces.errors import GatesearchError, InputError

app = typer.Typer()


@app.command()
def mirror(
    name: JobName,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete what MLflow has of the job's runs first.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(help="http(s)://… of a server that the job does not name.")
    ] = None,
    root: Root = RUNS,
) -> None:
    """Fill MLflow from a job's journal: what is missing is added, nothing is doubled.

    Example: gatesearch mirror vowels
    """
    from search.job.folder import stored_job
    from search.run.recorder import record_runs
    from search.tracking.mirror import mirror_once, servers_of
    from search.tracking.state import TRACKING

    folder = whole_folder(name, root)
    behind = []
    for uri, files in servers_of(stored_job(folder).tracking, to):
        state = mirror_once(folder, uri, name=files, rebuild=rebuild)
        if files == TRACKING:  # those that `results` names
            record_runs(folder, state)
        if state.complete:
            print_text(f"{len(state.runs)} runs are in MLflow.")
            if (place := state.address("arms")) is not None:
                print_text(place)
        else:
            behind.append(state.error or "no reason")
    if behind:
        raise GatesearchError(f"MLflow is not complete: {'; '.join(behind)}")


@app.command()
def dashboard(
    name: Annotated[
        str | None,
        typer.Argument(help="The job to open; the latest one without.", metavar="[NAME]"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="With --host: another name under which browsers open the pages."),
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open a browser; by default on a terminal with a display."
        ),
    ] = None,
    root: Root = RUNS,
) -> None:
    """Serve the MLflow pages of all jobs below --root until Ctrl-C.

    It prints the addresses that open MLflow on a job's answer. Where the job names a server of its
    own these are the server's, and nothing is served here.

    Example: gatesearch dashboard vowels --port 5001
    """
    from search.tracking.dashboard import serve, tell_views
    from search.tracking.state import mirror_state

    opens = _has_display() if browser is None else browser
    if name is not None:
        folder = job_folder(name, root)
        root = folder.parent
        state = mirror_state(folder)
        if state.address("arms") is not None:
            tell_views(root, None, name, opens=opens)
            return
        if state.experiment_id is None:
            rule = "the job must be in MLflow, and nothing of it is"
            raise InputError.of(name, rule, f"`gatesearch mirror {name}` brings it there")
    serve(root.resolve(), host, port, allow or (), name=name, opens=opens)


def _has_display() -> bool:
    """Return whether a browser would open in a window, and somebody is there to see it."""
    shown = sys.platform in ("darwin", "win32") or any(
        os.environ.get(variable) for variable in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    return shown and sys.stdout.isatty()
