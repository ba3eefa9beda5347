"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from spaces.paths import in_home

JobName = Annotated[str, typer.Argument(help="A job's name.", metavar="NAME")]


def user_path(text: str | Path) -> Path:
    """Return a path of the command line. Shells leave the ~ in --root=~/runs as it is."""
    path = in_home(str(text))
    if path.parts[:1] and path.parts[0].startswith("~"):
        raise typer.BadParameter(f"no user has the home {path.parts[0]}; ./{path} is a folder here")
    return path


JobFile = Annotated[
    Path, typer.Argument(help="A job file (YAML).", metavar="JOB.yaml", parser=user_path)
]
Root = Annotated[
    Path, typer.Option("--root", help="Folder of the jobs' folders.", parser=user_path)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Target = Annotated[
    float | None, typer.Option(help="Tell how long training takes to this validation value.")
]
