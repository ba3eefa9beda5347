"""The command line: parses, makes one call, prints. Commands import heavy libraries themselves.

local.py     commands on this machine
cluster.py   commands on a cluster
tables.py    tables of the commands that list

Exit codes: 0 done, 1 the job failed or an arm has no complete trial, 2 the input was refused,
130 interrupted (`gatesearch resume` continues the job).
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import typer

from search.cli import cluster, local
from search.cli.terminal import print_message
from spaces.errors import GatesearchError, InputError

app = typer.Typer(
    name="gatesearch",
    help="Find out which recurrent cell suits your data: search, confirm, compare, export.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="rich",
)
app.add_typer(local.app)
app.add_typer(cluster.app)

#: The root of what typer raises for a wrong command line. Its module differs between versions.
USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run the command line; the only place where exceptions become messages and exit codes."""
    code: int | None = 0
    try:
        _check_packages()
        code = app(standalone_mode=False)
        sys.stdout.flush()  # raises here, and not at exit, where the reader has left
    except GatesearchError as error:
        print_message(str(error))
        code = error.exit_code
    except USAGE_ERROR as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = local.JobInterruptedError.exit_code
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _discard_output()  # typer exits so where the reader has left
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        if error.filename is None:
            raise
        print_message(f"{error.filename}: {error.strerror}")
        code = 1
    sys.exit(code or 0)


def _discard_output() -> None:
    """Let Python flush into nothing at exit: the reader of our output has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
                f"it must resolve to {home / package}, not {found}",
                "remove that folder from PYTHONPATH, or start gatesearch from another folder",
            )
