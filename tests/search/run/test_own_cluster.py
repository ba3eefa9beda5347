"""A cluster that a job starts for itself has the cores that the job may use, and no others."""

import os
from pathlib import Path

import driven
import pytest

from search.run import ray_runner
from trainables import machine
from trainables.data import tasks

STARTED = "RAY_num_prestart_python_workers"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is set for the cluster is unset again."""
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_cores_of_others_are_neither_counted_nor_given_workers(tmp_path: Path) -> None:
    """As in a batch system's allocation of one core of many."""
    job = driven.job(tmp_path)
    data = tasks.load(job.task, job.base)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        options = ray_runner._own_cluster(job, data, tmp_path)
    finally:
        os.sched_setaffinity(0, before)
    assert options["num_cpus"] == 1
    assert os.environ[STARTED] == "1"


def test_a_quota_counts_as_the_cores_that_it_keeps_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container of 1.5 CPUs on a machine of 64."""
    job = driven.job(tmp_path)
    data = tasks.load(job.task, job.base)
    monkeypatch.setattr(machine, "cgroup_limits", lambda: (1.5, None))
    assert ray_runner._own_cluster(job, data, tmp_path)["num_cpus"] == 1
    assert os.environ[STARTED] == "1"
