"""Jobs that run on one machine at once divide its cores, or wait for each other."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import driven
import pytest
from driven import INFO, told
from waiting import wait_until

from search.job.spec import JobSpec
from search.journal.file import FileJournal
from search.run import local_jobs, ray_runner
from search.run.driver import Driver
from search.run.local_jobs import Asking, deal, place_on_machine
from trainables.patience import waits


@pytest.fixture(autouse=True)
def nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs of this machine are those of the test."""
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(local_jobs, "_LOOK_SECONDS", 0.01)


@pytest.fixture
def one_core() -> Iterator[None]:
    """One core may be used."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def job(folder: Path, name: str = "driven", **resources: Any) -> JobSpec:
    return driven.job(folder, name=name, resources=resources)


def asking(*jobs: tuple[float, int]) -> list[Asking]:
    return [Asking(n, f"job{n}", cpus, most, "cores") for n, (cpus, most) in enumerate(jobs)]


@pytest.mark.parametrize(
    ("cores", "jobs", "expected"),
    [
        (2, [(1, 99)], [2]),
        (2, [(1, 99), (1, 99)], [1, 1]),
        (2, [(1, 99), (1, 99), (1, 99)], [1, 1, 0]),
        (3, [(1, 99), (1, 99)], [2, 1]),
        (64, [(1, 99), (1, 4)], [60, 4]),
        (64, [(1, 99), (1, 99), (1, 99)], [22, 21, 21]),
        (8, [(4, 99), (1, 99), (1, 99)], [1, 2, 2]),
        (2, [(1, 99), (2, 99), (0.5, 99)], [2, 0, 0]),  # who came first goes first
        (2, [(4, 99)], [1]),
        (1, [(0.25, 99), (0.25, 1)], [3, 1]),
    ],
)
def test_cores_are_dealt_in_turn_and_who_finds_none_waits(
    cores: int, jobs: list[tuple[float, int]], expected: list[int]
) -> None:
    assert deal(cores, asking(*jobs)) == expected


def test_a_job_alone_has_the_machine_and_two_divide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runner, "_nodes", lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}])
    monkeypatch.setattr(local_jobs, "read_cores", lambda: FourCores)
    with place_on_machine(job(tmp_path)) as first:
        assert first.most() is None
        assert ray_runner._Workers(job(tmp_path), first.most)() == {0.0: 4}
        with place_on_machine(job(tmp_path, "other")) as second:
            assert (first.most(), second.most()) == (2, 2)
            assert ray_runner._Workers(job(tmp_path), first.most)() == {0.0: 2}
            assert waits() == [
                "4 cores are shared with other jobs of this machine (driven)",
                "4 cores are shared with other jobs of this machine (other)",
            ]
        assert first.most() is None
        assert waits() == []


class FourCores:
    """A machine of four cores."""

    usable, quota = 4, None


def test_a_job_without_room_waits_until_another_has_ended(tmp_path: Path, one_core: None) -> None:
    waited: list[bool] = []
    began = threading.Event()

    def wait() -> None:
        with place_on_machine(job(tmp_path, "late")) as place:
            began.set()
            waited.append(place.wait())

    with place_on_machine(job(tmp_path, "early")) as place:
        assert not place.wait()
        late = threading.Thread(target=wait)
        late.start()
        assert began.wait(60)
        said = "waiting until one of this machine's other jobs has ended (early)"
        wait_until(lambda: said in waits(), "the late job waits")
        assert place.most() == 1
        assert waited == []
    late.join(60)
    assert waited == [True]


def test_jobs_on_other_cores_are_no_neighbours(tmp_path: Path, one_core: None) -> None:
    """As a batch system gives them."""
    with place_on_machine(job(tmp_path)) as first:
        os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))
        if len(os.sched_getaffinity(0)) == 1:
            pytest.skip("there is one core")
        with place_on_machine(job(tmp_path, "other")) as second:
            assert (first.most(), second.most()) == (None, None)


def test_without_a_folder_of_its_own_a_job_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    with place_on_machine(job(tmp_path)) as place:
        assert place.most() is None
    monkeypatch.setenv("GATESEARCH_CACHE", str(tmp_path / "open"))
    (tmp_path / "open" / "jobs").mkdir(parents=True)
    (tmp_path / "open" / "jobs").chmod(0o777)
    with place_on_machine(job(tmp_path)) as place:
        assert place.most() is None
    assert list((tmp_path / "open" / "jobs").iterdir()) == []


def test_the_wait_for_the_machine_costs_nothing_of_the_job_s_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileJournal(tmp_path / "job.journal") as journal:
        driver = Driver(job(tmp_path), INFO, journal)
        monkeypatch.setattr(driver, "awake_seconds", lambda: 3600.0)
        driver.restart_clock()
        driver.next()
        assert driver.job_state.search_seconds < 60
    again = told(tmp_path)
    assert (again.generation, again.job_id) == (1, driver.job_state.job_id)
