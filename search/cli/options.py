"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

JobName = Annotated[str, typer.Argument(help="A job's name.", metavar="NAME")]
JobFile = Annotated[Path, typer.Argument(help="A job file (YAML).", metavar="JOB.yaml")]
Root = Annotated[Path, typer.Option("--root", help="Folder of the jobs' folders.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
