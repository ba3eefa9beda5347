"""The journal of a job on a cluster, while it grows: for `gatesearch watch --address`.

What prints it is search/watch/send.py, on the cluster: a job of its own for two minutes at most,
which is followed by another one for as long as somebody watches.
"""

from collections.abc import Generator

from deploy.client.client import Client
from deploy.client.commands import journal_command
from deploy.errors import ClusterError


class WatchedCluster:
    """A cluster whose job is watched. Threads may use it at once: each call has its connection."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def journal(self, submission: str, start: int) -> Generator[str, None, None]:
        """Yield what is printed of a job's journal from a number of groups on.

        It ends after two minutes. Raises ClusterError.
        """
        with Client(beside=self._client) as client:
            job = client.find(submission)
            command = journal_command(job.folder_in_shell, start)
            with client.printed(job, f"journal-{start}", command) as log:
                yield from log

    def stop(self, submission: str) -> None:
        """Ask the cluster, or the queue before it, to stop a job.

        What runs may be a later submission of the same job, which was resumed since. Raises
        ClusterError, also where none runs.
        """
        with Client(beside=self._client) as client:
            watched = client.find(submission)
            for job in (watched, *client.jobs()):
                if (job.name, job.digest) == (watched.name, watched.digest) and not job.is_ended:
                    client.ask_to_stop(job.id)
                    return
        rule = f"a job must run to be stopped; it is {watched.state}"
        raise ClusterError.refused(watched.id, rule, "`gatesearch jobs` lists what runs")

    def resume(self, submission: str) -> None:
        """Queue a job once more. Raises ClusterError, also where there is no queue."""
        with Client(beside=self._client) as client:
            client.queue().resume(client.find(submission).id)
