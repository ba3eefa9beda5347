"""Claims about kill -9 at random moments: whatever dies, the job ends as if nothing had.

The seed of the moments is printed with a failure; GATESEARCH_KILL_SEED repeats it.
"""

import os
import random
import secrets
import signal
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faults import named, workers
from installed import alike, gatesearch, records, running
from stored_studies import stored_studies
from waiting import wait_until

from search.journal.file import FileReader

KILLED = """\
name: killed
task: {{name: japanese-vowels}}
arms: [rnn, gru]
space:
  depth: 1
  hidden_size: {{choices: [8, 16]}}
  learning_rate: {{low: 1e-3, high: 3e-2, log: true}}
training: {{max_epochs: 9}}
search: {{trials: 12, seed: 3, retries: 1000}}
confirm: {{finalists: 1, seeds: 2}}
resources: {{max_concurrent: {slots}}}
"""
DRIVER, WORKER, RAYLET = "driver", "worker", "raylet"


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("GATESEARCH_KILL_SEED", secrets.randbelow(2**32)))
    print(f"GATESEARCH_KILL_SEED={seed}")
    return random.Random(seed)


def prepared(folder: Path, slots: int) -> Path:
    """Return the folder, made, with the job file in it."""
    folder.mkdir()
    (folder / "killed.yaml").write_text(KILLED.format(slots=slots))
    return folder


def groups(folder: Path) -> int:
    path = folder / "runs/killed/job.journal"
    return len(FileReader(path).read()) if path.exists() else 0


def strike(folder: Path, target: str, chance: random.Random) -> bool:
    """Run or resume the job and kill something of it at a random moment.

    Returns False if the job was faster and has come to its end.
    """
    with running("run", "killed.yaml", cwd=folder) as process:
        until = groups(folder) + chance.randrange(16)
        wait_until(lambda: groups(folder) >= until or process.poll() is not None, "it works")
        time.sleep(chance.uniform(0, 0.5))  # between two groups, or before Ray is there
        if target == WORKER and process.poll() is None and (training := workers(process)):
            os.kill(chance.choice(training), signal.SIGKILL)
            until = groups(folder) + 1 + chance.randrange(8)
            wait_until(lambda: groups(folder) >= until or process.poll() is not None, "it goes on")
        elif target == RAYLET and process.poll() is None and (raylet := named(process, RAYLET)):
            os.kill(raylet[0], signal.SIGKILL)
            process.wait(120)
        return process.poll() != 0


def studies(folder: Path) -> dict[str, list[Any]]:
    """Return the trials as Optuna sees them: states, values at rungs and in the end, attributes."""
    return {
        name: [
            (t.number, t.state, t.params, t.values, t.intermediate_values, t.system_attrs)
            for t in trials
        ]
        for name, trials in stored_studies(folder / "runs/killed").items()
    }


def check_whole(folder: Path) -> None:
    """Assert that every arm has the trials that were asked for, once, and MLflow the same."""
    listed = records(folder, "killed")
    assert Counter((r["phase"], r["arm"]) for r in listed) == {
        ("search", "rnn"): 12,
        ("search", "gru"): 12,
        ("confirm", "rnn"): 2,
        ("confirm", "gru"): 2,
    }
    assert {r["state"] for r in listed} <= {"complete", "pruned"}
    with sqlite3.connect(folder / "runs/mlflow.db") as database:
        runs = Counter(
            key
            for (key,) in database.execute("SELECT value FROM tags WHERE key = 'gatesearch.key'")
        )
        states = {state for (state,) in database.execute("SELECT DISTINCT status FROM runs")}
    for record in listed:
        assert runs[f"{record['phase']}/{record['arm']}/{record['number']}"] == 1, record
    assert "RUNNING" not in states
    assert "SCHEDULED" not in states


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_kills_of_driver_worker_and_raylet_change_nothing(
    tmp_path: Path, chance: random.Random
) -> None:
    """With one slot: the same trials, values and rungs as an undisturbed run."""
    calm = prepared(tmp_path / "calm", slots=1)
    gatesearch("run", "killed.yaml", cwd=calm)
    wanted, rungs = alike(records(calm, "killed")), studies(calm)
    struck, job = 0, 0
    while struck < 30:
        job += 1
        folder = prepared(tmp_path / str(job), slots=1)
        while struck < 30 and strike(folder, (DRIVER, WORKER, RAYLET)[struck % 3], chance):
            struck += 1
        gatesearch("run", "killed.yaml", cwd=folder)
        check_whole(folder)
        assert alike(records(folder, "killed")) == wanted
        assert studies(folder) == rungs


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_kills_of_the_driver_leave_exactly_what_was_asked_for(
    tmp_path: Path, chance: random.Random
) -> None:
    folder = prepared(tmp_path / "job", slots=2)
    for _ in range(10):
        if not strike(folder, DRIVER, chance):
            break
    gatesearch("run", "killed.yaml", cwd=folder)
    check_whole(folder)
