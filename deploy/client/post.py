"""How a submission reaches a head: its package, then the request, again while no agent is up."""

from collections.abc import Callable
from typing import Any, TypeVar

from deploy.client.connection import Connection, last_line
from deploy.client.package import Package
from deploy.client.patience import outlast
from deploy.errors import ClusterError, JobRefusedError, NoAgentError

#: What a head says that takes no jobs yet, as tests/deploy/client/test_client.py finds it in Ray.
NO_AGENT = "No available agent to submit job"
_T = TypeVar("_T")


def upload(http: Connection, package: Package) -> None:
    """Send a package, unless the head has it."""
    path = f"/api/packages/gcs/{package.name}"
    if http.request("GET", path, accept=(404,)).status_code == 404:
        http.request("PUT", path, data=package.content)


def post_job(http: Connection, body: dict[str, Any]) -> bool:
    """Submit a job; return False where the head knows its id already.

    Raises JobRefusedError where it does not take the job, NoAgentError where not yet.
    """
    answer = http.request("POST", "/api/jobs/", body=body, accept=(400, 500))
    if answer.status_code < 300:
        return True
    text = str(answer.text)
    if "already exists" in text:
        return False
    if NO_AGENT in text:
        rule = "a head must have its agent up to take jobs; it has none yet"
        raise NoAgentError(http.address, rule, "look at the head's dashboard_agent.log")
    raise JobRefusedError(
        http.address,
        f"the cluster refused the job: {last_line(text)}",
        "look at the head's dashboard_agent.log",
    )


def once_it_takes_jobs(submit: Callable[[], _T], say: Callable[[str], None] | None) -> _T:
    """Return what a submission answers; it is tried again where a head has just begun.

    say: takes what is waited for.
    """

    def tell(error: ClusterError) -> None:
        if say is not None:
            say(f"{error.place}: {error.rule}; it is tried again for two minutes")

    return outlast(submit, NoAgentError, tell)
