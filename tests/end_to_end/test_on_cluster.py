"""A user's whole way over a cluster: submit, follow, fetch, and use what came home."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from laptop import Laptop
from ray_head import RayHead
from waiting import wait_until

from deploy.client import Client, find_token

pytestmark = pytest.mark.timeout(400)
REPOSITORY = Path(__file__).resolve().parents[2]
ARMS = ("rnn", "lstm", "gru")


@pytest.fixture
def laptop(tmp_path: Path, ray_head: RayHead) -> Laptop:
    return Laptop(tmp_path / "laptop", ray_head.address, ray_head.token_file)


def test_the_quickstart_runs_on_a_cluster_and_its_results_come_home(
    laptop: Laptop, ray_head: RayHead
) -> None:
    spec = yaml.safe_load((REPOSITORY / "deploy" / "jobs" / "quickstart.yaml").read_text())
    spec["training"]["max_epochs"] = 3
    spec["search"]["trials"] = 2
    spec["confirm"]["seeds"] = 2
    (laptop.folder / "quickstart.yaml").write_text(yaml.safe_dump(spec))

    submission = laptop.gatesearch("submit", "quickstart.yaml").split()[0]
    with laptop.watching("quickstart") as page:
        log = laptop.gatesearch("logs", submission, "-f")
        page.wait(lambda items: items.get("head") and items["head"]["finished"], "its end")
        assert page.items["problem"] is None
        page.wait(lambda items: items.get("report", {}).get("phase") == "done", "the verdict")
    with Client(ray_head.address, find_token(ray_head.token_file)) as client:
        assert [job.id for job in client.jobs(every=True)] == [submission]  # none prints any more
    assert "Traceback" not in log
    listed = json.loads(laptop.gatesearch("jobs", "--json"))
    assert [job["id"] for job in listed] == [submission]
    status = json.loads(laptop.gatesearch("status", submission, "--json"))
    assert (status["state"], status["exit_code"]) == ("succeeded", 0), log

    nodes = json.loads(laptop.gatesearch("doctor", "--address", ray_head.address, "--json"))[
        "nodes"
    ]
    assert [(node["head"], node["cores"]) for node in nodes] == [(True, 2)]

    # Nothing of it lies where Ray removes it.
    there = ray_head.home / "gatesearch" / "runs" / "quickstart"
    assert (there / "job.journal").is_file()
    laptop.gatesearch("fetch", submission)
    here = laptop.folder / "runs" / "quickstart"
    for name in ("job.yaml", "job.journal", "results.parquet", "report.html", "best/model.onnx"):
        assert (here / name).read_bytes() == (there / name).read_bytes()
    assert not (here / "checkpoints").exists()

    found = json.loads(laptop.gatesearch("results", "quickstart", "--phase", "all", "--json"))
    for arm in ARMS:
        phases = [record["phase"] for record in found if record["arm"] == arm]
        assert sorted(phases) == ["confirm"] * 2 + ["search"] * 2
    assert {record["state"] for record in found} <= {"complete", "pruned", "diverged"}
    # The same job once more starts nothing.
    assert laptop.gatesearch("submit", "quickstart.yaml").split()[0] == submission


@pytest.mark.slow
def test_a_job_with_own_data_is_stopped_and_goes_on_where_it_was(
    laptop: Laptop, ray_head: RayHead
) -> None:
    (laptop.folder / "data").mkdir()
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 30, 400)
    y = np.arange(400) % 4
    x = rng.normal(size=(lengths.sum(), 3)) + np.repeat(y, lengths)[:, None]
    np.savez(laptop.folder / "data" / "gestures.npz", x=x, lengths=lengths, y=y)
    (laptop.folder / "jobs").mkdir()
    (laptop.folder / "jobs" / "gestures.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "gestures",
                "task": {"kind": "classification", "data": "../data/gestures.npz"},
                "arms": ["lstm"],
                "space": {"depth": 2, "hidden_size": 32},
                "training": {"max_epochs": 80},
                "search": {"trials": 4, "control_fraction": 1.0},  # none is pruned
                "confirm": {"seeds": 0},
            }
        )
    )
    submission = laptop.gatesearch("submit", "jobs/gestures.yaml").split()[0]
    journal = ray_head.home / "gatesearch" / "runs" / "gestures" / "job.journal"
    with Client(ray_head.address, find_token(ray_head.token_file)) as client:
        wait_until(
            lambda: (
                client.find(submission).is_ended
                or (journal.exists() and b'"report"' in journal.read_bytes())
            ),
            "the job trains",
        )
        assert client.find(submission).state == "running", client.logs(submission)
    assert laptop.gatesearch("stop", "gestures").split() == ["stopped"]

    resumed = laptop.gatesearch("submit", "jobs/gestures.yaml").split()[0]
    assert resumed == f"{submission}-2"
    log = laptop.gatesearch("logs", "gestures", "-f")
    status = json.loads(laptop.gatesearch("status", "gestures", "--json"))
    assert status["state"] == "succeeded", log
    laptop.gatesearch("fetch", "gestures")
    found = json.loads(laptop.gatesearch("results", "gestures", "--json"))
    assert sorted(record["number"] for record in found) == list(range(4))
    assert {record["state"] for record in found} == {"complete"}
    assert [point["epoch"] for record in found for point in record["curve"]] == 4 * [*range(1, 81)]
    rows = laptop.gatesearch("predict", "runs/gestures/best", "data/gestures.npz").splitlines()
    predicted = [int(row["class"]) for row in csv.DictReader(rows)]
    assert np.mean(predicted == y) > 0.8
