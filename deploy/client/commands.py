"""What the cluster's shell runs: a job, and the printing of a job's folder."""

import shlex

from deploy.errors import ClusterError

#: Where job folders are if --root does not say otherwise; a word for the cluster's shell.
DEFAULT_ROOT = '"${GATESEARCH_ROOT:-$HOME/gatesearch/runs}"'
NOT_INSTALLED = (
    "gatesearch must be installed on the cluster and on the PATH of its user: "
    "start the cluster from an image that has it"
)


def shell_root(root: str | None) -> str:
    """Return a root folder of the cluster as a word for its shell.

    Raises ClusterError for a folder that is not outside of the job's own working directory.
    """
    if root is None:
        return DEFAULT_ROOT
    if root.startswith("/") and root.strip("/"):
        return shlex.quote(root.rstrip("/"))
    if root.startswith("~/") and root.strip("~/"):
        return f'"$HOME"/{shlex.quote(root[2:].rstrip("/"))}'
    raise ClusterError.refused(
        "--cluster-root",
        f"the root must be a folder of the cluster that outlives the job, not {root!r}",
        "give it from the top (/data/runs) or from the cluster user's home (~/runs)",
    )


def run_command(job_path: str, root_in_shell: str) -> str:
    """Return the command that runs a job. `root_in_shell` is a word for the shell already."""
    return (
        f"command -v gatesearch >/dev/null || {{ echo {shlex.quote(NOT_INSTALLED)} >&2; "
        f"exit 127; }}; exec gatesearch run {shlex.quote(job_path)} --root {root_in_shell}"
    )


def send_command(folder_in_shell: str, *, checkpoints: bool) -> str:
    """Return the command that prints a job's folder. `folder_in_shell` is a word for the shell."""
    # -P: nothing of the folder that Ray starts the job in is imported.
    command = f"exec python -P -m deploy.client.send {folder_in_shell}"
    return f"{command} --checkpoints" if checkpoints else command


#: Begins the line in which a job's standing comes, as JSON.
STANDING = "GATESEARCH-STANDING"


def standing_command(folder_in_shell: str) -> str:
    """Return the command that prints how far a job is. `folder_in_shell`: a word of the shell."""
    return f"exec python -P -m search.run.standing {folder_in_shell}"


def journal_command(folder_in_shell: str, start: int) -> str:
    """Return the command that prints a job's journal for two minutes, from a group on."""
    return f"exec python -P -m search.watch.send {folder_in_shell} {start}"
