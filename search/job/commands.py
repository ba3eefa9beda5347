"""The command lines that messages offer to the user."""

import shlex
from pathlib import Path

RUNS = Path("runs")  #: the folder of the jobs' folders, where no --root is given


def command(verb: str, folder: Path) -> str:
    """Return "gatesearch VERB NAME" for a job's folder, with --root where the command needs it.

    Example: command("resume", Path("/data/runs/vowels")) gives
    "gatesearch resume vowels --root /data/runs".
    """
    return " ".join(["gatesearch", verb, folder.name, *root_option(folder.parent)])


def root_option(root: Path) -> list[str]:
    """Return the option that names a folder of jobs; nothing where it is the default one."""
    root, here = root.resolve(), Path.cwd()
    if root == RUNS.resolve():
        return []
    shown = root.relative_to(here) if root.is_relative_to(here) else root
    return [f"--root {shlex.quote(str(shown))}"]
