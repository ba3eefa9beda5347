"""A trial that needs more than there is: refused where that is final, told where it may change."""

import time
from pathlib import Path
from typing import Any

import driven
import pytest

from search.run import session
from search.run.room import SECONDS, RoomWatch, check_machine
from spaces.errors import InputError
from trainables.machine import read_cores
from trainables.patience import waits

CORES = read_cores().usable
TOO_MUCH: dict[str, tuple[dict[str, Any], str, str]] = {
    "CPUs": (
        {"cpus_per_trial": CORES + 1},
        "resources.cpus_per_trial",
        rf"must be at most {CORES}, .*, not {CORES + 1}\b",
    ),
    "GPUs": (
        {"gpus_per_trial": 100},
        "resources.gpus_per_trial",
        r"must be at most \d, .*, not 100",
    ),
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job has a Ray of its own, and no stand-in for GPUs."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_this_machine_never_has_is_refused_before_anything_is_written(
    case: str, tmp_path: Path
) -> None:
    resources, place, rule = TOO_MUCH[case]
    job = driven.job(tmp_path, resources=resources)
    with pytest.raises(InputError, match=rule) as raised:
        session.begin(job, driven.INFO, tmp_path / "job.yaml", tmp_path / "runs")
    assert place in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_all_cores_may_be_asked_for(tmp_path: Path) -> None:
    check_machine(driven.job(tmp_path, resources={"cpus_per_trial": CORES}))


@pytest.mark.parametrize("case", TOO_MUCH)
def test_a_cluster_may_grow(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check_machine(driven.job(tmp_path, resources=TOO_MUCH[case][0]))


def test_a_cluster_without_room_is_told_after_a_minute_and_until_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    needs = {"cpus_per_trial": 64, "gpus_per_trial": 1}
    watch = RoomWatch(driven.job(tmp_path, resources=needs))
    small, half, large = {"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}, {"CPU": 64.0, "GPU": 1.0}
    for _ in range(int(SECONDS)):
        watch.look([small, half])
        assert waits() == []
        now += 1
    watch.look([small, half])
    (told,) = waits()
    assert (
        "asks for 64 CPU and 1 GPU" in told and "2 nodes the largest have 2 CPU and 1 GPU" in told
    )
    watch.look([small, half, large])
    assert waits() == []
