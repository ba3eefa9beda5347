"""Claims about jobs whose worker takes several trials at once, on a real Ray with a made-up GPU.

Triton's interpreter stands in for the GPU: see trainables/worker/device.py.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from faults import WORKERS, journal, report_counts, two_nodes, workers
from installed import alike, gatesearch, process_name, records, running
from waiting import wait_until

from search.journal.file import FileReader

JOB = """\
name: packed
task: {name: adding, length: 8, examples: 200}
arms: [rnn, gru]
space: {depth: 1, hidden_size: {choices: [4, 6]}, learning_rate: {low: 1e-3, high: 1e-2, log: true}}
training: {max_epochs: 200}
search: {trials: 3, sampler: random, pruner: none, control_fraction: 0}
confirm: {finalists: 1, seeds: 2}
"""


EPOCHS = "max_epochs: 200"
assert EPOCHS in JOB


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")


def write(folder: Path, resources: str) -> None:
    (folder / "packed.yaml").write_text(f"{JOB}resources: {{gpus_per_trial: auto{resources}}}\n")


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The records of the job with one trial at a time."""
    folder = tmp_path_factory.mktemp("one")
    write(folder, ", max_concurrent: 1")
    gatesearch("run", "packed.yaml", cwd=folder, env={"TRITON_INTERPRET": "1"})
    assert most_at_once(folder / "runs/packed") == 1
    return records(folder, "packed")


def most_at_once(folder: Path) -> int:
    """Return how many trials were in training at the same time, at most."""
    in_hand: set[str] = set()
    most = 0
    for group in FileReader(folder / "job.journal").read():
        for record in group:
            if record.get("record") == "report" and record["epochs"]:
                in_hand.add(record["key"])
                most = max(most, len(in_hand))
            elif record.get("record") == "end":
                in_hand.discard(record["key"])
    return most


@pytest.mark.slow
def test_a_packed_worker_gives_each_trial_what_it_has_alone_and_bills_its_time_once(
    one_by_one: list[dict[str, Any]], tmp_path: Path
) -> None:
    write(tmp_path, "")
    began = time.perf_counter()
    gatesearch("run", "packed.yaml", cwd=tmp_path)
    wall = time.perf_counter() - began
    assert most_at_once(tmp_path / "runs/packed") > 2
    found = records(tmp_path, "packed")
    assert alike(found) == alike(one_by_one)
    assert 0 < sum(record["train_seconds"] for record in found) < wall
    compared = json.loads(gatesearch("compare", "packed", "--json", cwd=tmp_path))
    assert compared["shared_workers"] is True
    assert any("its share" in sentence for sentence in compared["not_claimed"])


@pytest.mark.slow
def test_kill_9_of_a_packed_worker_and_of_its_driver_loses_nothing(
    one_by_one: list[dict[str, Any]], tmp_path: Path
) -> None:
    write(tmp_path, "")
    folder = tmp_path / "runs/packed"
    with running("run", "packed.yaml", cwd=tmp_path) as process:
        wait_until(lambda: len(report_counts(folder)) >= 3, "three trials have reported")
        (worker,) = workers(process)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: len(journal(folder, "retry")) > 1, "its trials have been given back")
        before = sum(report_counts(folder).values())
        wait_until(lambda: sum(report_counts(folder).values()) > before, "another one trains")
    assert not any(record["counted"] for record in journal(folder, "retry"))
    gatesearch("resume", "packed", cwd=tmp_path)
    assert alike(records(tmp_path, "packed")) == alike(one_by_one)


@pytest.mark.slow
def test_nodes_without_a_gpu_train_beside_those_with_one(
    one_by_one: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, ", cpu_trials: true")
    with (
        two_nodes(monkeypatch, 1, 0) as cluster,
        running("run", "packed.yaml", cwd=tmp_path) as process,
    ):

        def nodes() -> set[int]:
            """The raylets whose workers train."""
            below = psutil.Process(cluster.pid).children(recursive=True)
            return {one.ppid() for one in below if process_name(one.pid) in WORKERS}

        wait_until(lambda: len(nodes()) == 2, "workers of both nodes train")
        assert process.wait(240) == 0, (tmp_path / "output.log").read_text()[-3000:]
    assert alike(records(tmp_path, "packed")) == alike(one_by_one)
    compared = json.loads(gatesearch("compare", "packed", "--json", cwd=tmp_path))
    assert any("on GPUs and others on CPUs" in sentence for sentence in compared["not_claimed"])


def test_a_machine_without_a_gpu_packs_its_cpus_where_the_job_lets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write(tmp_path, ", cpu_trials: true")
    job = tmp_path / "packed.yaml"
    job.write_text(job.read_text().replace(EPOCHS, "max_epochs: 30"))
    gatesearch("run", "packed.yaml", cwd=tmp_path)
    assert {record["state"] for record in records(tmp_path, "packed")} == {"complete"}


def test_a_gpu_that_torch_does_not_see_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write(tmp_path, "")
    said = gatesearch("run", "packed.yaml", cwd=tmp_path, code=2)
    assert "gatesearch doctor" in said and "Traceback" not in said
