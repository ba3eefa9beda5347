"""A job on a cluster of several real nodes, whose parts fail: every trial and every point once.

Ray, PostgreSQL, SeaweedFS and MLflow are real, and processes of this machine. The job is submitted
from a folder that has its job file alone.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster_service import (
    NAME,
    SECONDS,
    Service,
    check_exactly_once,
    check_no_secret,
    crash,
    service,
)
from faulty_server import Fault
from installed import gatesearch
from ray_head import kill_head, nodes_alive, running_head, running_node
from servers import S3, Postgres
from waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture
def there(
    tmp_path: Path, postgres: Postgres, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    with service(tmp_path, postgres, s3, monkeypatch) as found:
        yield found


def test_nodes_that_come_and_are_lost_cost_nothing_and_no_secret_is_anywhere(
    there: Service,
) -> None:
    with running_head(cpus=0) as head, ExitStack() as nodes:
        kill_first = nodes.enter_context(running_node(head))
        submission = there.submit(head)
        there.wait_for(head, submission, 0.15)
        nodes.enter_context(running_node(head))
        there.wait_for(head, submission, 0.35)
        check_no_secret(there, head)
        kill_first()
        assert nodes_alive(head) >= 2
        there.wait_for(head, submission, 0.6)
        nodes.enter_context(running_node(head))
        there.wait_for_end(head, submission)
        check_no_secret(there, head)
        retried = [r for group in there.groups() for r in group if r.get("record") == "retry"]
        assert retried, "the node that was killed had a trial"
    check_exactly_once(there)


def test_a_head_that_is_lost_with_its_disk_costs_nothing(there: Service) -> None:
    with running_head(cpus=0) as head, running_node(head), running_node(head):
        submission = there.submit(head)
        there.wait_for(head, submission, 0.4)
        kill_head(head)
    assert not head.home.exists(), "nor is its disk"
    before = len(there.groups())
    with running_head(cpus=0) as head, running_node(head), running_node(head):
        there.wait_for_end(head, there.submit(head))
    assert len(there.groups()) > before
    check_exactly_once(there)
    # Nothing is left of either cluster: the laptop has it all from the servers.
    shutil.rmtree(there.laptop / "runs")
    gatesearch("fetch", NAME, cwd=there.laptop, seconds=600)
    folder = there.laptop / "runs" / NAME
    assert {"job.yaml", "report.html", "best"} <= {path.name for path in folder.iterdir()}


def test_servers_that_crash_and_fail_cost_nothing(there: Service) -> None:
    """PostgreSQL crashes, S3 answers 500 for 30 s, MLflow is away for the middle third."""
    with running_head(cpus=0) as head, running_node(head), running_node(head):
        submission = there.submit(head)
        there.wait_for(head, submission, 0.2)
        crash(there.database)
        there.wait_for(head, submission, 1 / 3)
        there.end_tracking()
        there.store.failing = True
        time.sleep(30)
        there.store.failing = False
        assert there.store.refused > 0
        there.wait_for(head, submission, 2 / 3)
        there.start_tracking()
        there.wait_for_end(head, submission)
    check_exactly_once(there)


@pytest.mark.parametrize("fault", ["errors", "hanging"])
def test_a_tracking_server_that_fails_in_the_middle_third_costs_nothing(
    fault: Fault, there: Service
) -> None:
    """It answers every third request with 500, at random and some after it took effect, or none."""
    with running_head(cpus=0) as head, running_node(head), running_node(head):
        submission = there.submit(head)
        there.wait_for(head, submission, 1 / 3)
        there.door.fault = fault
        there.wait_for(head, submission, 2 / 3)
        wait_until(lambda: there.door.failed > 0, "the mirror has met the fault", SECONDS)
        there.door.fault = "well"
        there.wait_for_end(head, submission)
    check_exactly_once(there)
