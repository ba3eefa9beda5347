"""Claims about faults below a job in progress: dead, hung, starved workers, lost node, full disk.

Each job is hit on a real Ray and must end with what a calm one ends with.
"""

import os
import resource
import signal
from pathlib import Path

import pytest
from faults import (
    CALM,
    checkpointed,
    driver,
    ended,
    journal,
    named,
    report_counts,
    two_nodes,
    workers,
)
from installed import alike, gatesearch, records, running
from waiting import wait_until

HOPELESS = """\
name: hopeless
task: {name: adding, length: 1000, examples: 2000}
arms: [{name: rnn, cell: rnn, gates: [indrnn]}]
space: {depth: 1, hidden_size: {choices: [2, 1000000]}}
training: {max_epochs: 1, batch_size: 2000}
search: {trials: 4, pruner: none, control_fraction: 1, retries: 1}
confirm: {seeds: 0}
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the job ran undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    (folder / "calm.yaml").write_text(CALM)
    gatesearch("run", "calm.yaml", cwd=folder)
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with the same job file, to hit the job in."""
    (tmp_path / "calm.yaml").write_text(CALM)
    return tmp_path


def test_a_killed_and_a_hung_worker_cost_no_trial(calm: Path, job: Path) -> None:
    """kill -9 of one worker and SIGSTOP of the other in the middle of a trial; a second driver."""
    folder = job / "runs/calm"
    with running("run", "calm.yaml", cwd=job) as process:
        wait_until(lambda: len(report_counts(folder)) == 2, "both trials have reported")
        killed, hung = workers(process)
        os.kill(killed, signal.SIGKILL)
        os.kill(hung, signal.SIGSTOP)
        second = gatesearch("run", "calm.yaml", cwd=job, code=1)
        assert f"is being run by process {driver(folder)}" in second
        assert process.wait(240) == 0, (job / "output.log").read_text()[-3000:]
        wait_until(lambda: ended(hung), "the hung worker has been ended")
    reasons = " ".join(record["reason"] for record in journal(folder, "retry"))
    assert "worker process has died" in reasons
    assert "no report for 10 s (search.report_timeout)" in reasons
    assert alike(records(job, "calm")) == alike(records(calm, "calm"))


@pytest.mark.slow
def test_a_killed_raylet_ends_the_job_with_a_message_and_it_resumes(calm: Path, job: Path) -> None:
    """On resuming, one trial's latest checkpoint is found damaged, and both of the other's."""
    folder = job / "runs/calm"
    with running("run", "calm.yaml", cwd=job) as process:
        wait_until(lambda: checkpointed(folder), "both trials have two checkpoints")
        os.kill(named(process, "raylet")[0], signal.SIGKILL)
        assert process.wait(120) == 1
    said = (job / "output.log").read_text()
    assert "was ended from outside. Nothing is lost: resume the job." in said
    assert "Traceback" not in said
    for tensors in sorted((folder / "checkpoints").glob("search-rnn-0-*/model.safetensors"))[-1:]:
        tensors.write_bytes(tensors.read_bytes()[:1000])
    for state in (folder / "checkpoints").glob("search-rnn-1-*/state.json"):
        state.write_text("{")
    gatesearch("resume", "calm", cwd=job)
    assert alike(records(job, "calm")) == alike(records(calm, "calm"))


@pytest.mark.slow
def test_a_configuration_that_cannot_be_trained_ends_no_job(tmp_path: Path) -> None:
    """Its weights fit into memory; its outputs of one batch would take 6 terabytes."""
    (tmp_path / "hopeless.yaml").write_text(HOPELESS)
    gatesearch("run", "hopeless.yaml", cwd=tmp_path)
    listed = records(tmp_path, "hopeless")
    states = {record["config"]["hidden_size"]: record["state"] for record in listed}
    assert states == {2: "complete", 1000000: "failed"}
    for record in listed:
        assert (record["state"] == "failed") == ("allocate" in (record["reason"] or "")), record


@pytest.mark.slow
def test_a_full_disk_ends_the_job_with_a_message_and_it_resumes(calm: Path, job: Path) -> None:
    folder = job / "runs/calm"
    with running("run", "calm.yaml", cwd=job) as process:
        wait_until(lambda: len(report_counts(folder)) == 2, "both trials have reported")
        room = (folder / "job.journal").stat().st_size + 100
        resource.prlimit(driver(folder), resource.RLIMIT_FSIZE, (room, room))
        assert process.wait(120) == 1
    said = (job / "output.log").read_text()
    assert "make room, then resume the job" in said
    assert "Traceback" not in said
    gatesearch("resume", "calm", cwd=job)
    assert alike(records(job, "calm")) == alike(records(calm, "calm"))


@pytest.mark.slow
def test_a_disk_that_takes_no_checkpoint_ends_the_job_and_fails_no_trial(
    calm: Path, job: Path
) -> None:
    folder = job / "runs/calm"
    with running("run", "calm.yaml", cwd=job) as process:
        wait_until(lambda: len(report_counts(folder)) == 2, "both trials have reported")
        for worker in workers(process):
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (1000, 1000))
        assert process.wait(120) == 1
    said = (job / "output.log").read_text()
    assert "no checkpoint could be written" in said
    assert "Traceback" not in said
    assert not journal(folder, "end")
    gatesearch("resume", "calm", cwd=job)
    assert alike(records(job, "calm")) == alike(records(calm, "calm"))


@pytest.mark.slow
def test_workers_that_ray_ends_for_want_of_memory_are_failed_with_that_reason(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process is too much for a node that counts as full from 1% on."""
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    gatesearch("run", "calm.yaml", cwd=job, code=1)
    listed = records(job, "calm")
    assert [record["state"] for record in listed] == ["failed", "failed"]
    assert all("memory" in record["reason"] for record in listed)


@pytest.mark.slow
def test_a_lost_node_costs_no_trial_and_no_retry(
    calm: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = job / "runs/calm"
    with two_nodes(monkeypatch, 0, 0) as cluster:
        assert cluster.stdin is not None
        with running("run", "calm.yaml", cwd=job) as process:
            wait_until(lambda: checkpointed(folder), "both trials have two checkpoints")
            cluster.stdin.write("\n")
            cluster.stdin.flush()
            assert process.wait(240) == 0, (job / "output.log").read_text()[-3000:]
    (retry,) = journal(folder, "retry")
    assert not retry["counted"], retry["reason"]
    assert alike(records(job, "calm")) == alike(records(calm, "calm"))
