"""A team's service on this machine: PostgreSQL, S3 and MLflow, and a laptop that submits jobs.

The cluster is tests/support/ray_head.py: a head without processors and nodes of one each.
"""

import json
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from failing_store import FailingStore, before
from faulty_server import FaultyServer, faulty
from installed import gatesearch
from mlflow_server import start_dashboard
from planted import forms, in_processes
from ray_head import RayHead
from server_process import free_ports
from servers import S3, Postgres
from waiting import wait_until

from deploy.client import Client, find_token
from search.journal.postgres import PostgresReader

SECONDS = 1500.0  # a bound that only a hang reaches
NAME = "faulty"
TRIALS, REPLICATES, EPOCHS = 3, 1, 100
ARMS = ("rnn", "gru")
JOB = f"""\
name: {NAME}
task: {{name: japanese-vowels}}
arms: [{", ".join(ARMS)}]
space: {{depth: 1, hidden_size: 24, learning_rate: {{low: 1e-3, high: 3e-3, log: true}}}}
training: {{max_epochs: {EPOCHS}}}
search: {{trials: {TRIALS}, pruner: none, control_fraction: 0, sampler: random}}
confirm: {{seeds: {REPLICATES}}}
resources: {{max_concurrent: 2}}
"""
ALL_EPOCHS = len(ARMS) * (TRIALS + REPLICATES) * EPOCHS


@dataclass
class Service:
    """The servers, and the folder of a person who has nothing but their addresses."""

    database: Postgres
    server: S3
    store: FailingStore  #: the door through which all go to S3
    laptop: Path
    runs: Path  #: MLflow's folder
    url: str
    bucket: str
    port: int  #: MLflow's
    door: FaultyServer  #: through which all go to MLflow
    secrets: dict[str, str]  #: planted, by variable
    _tracking: Any = field(default=None, repr=False)

    def start_tracking(self) -> None:
        """Start MLflow's server, and wait until it answers."""
        self._tracking = start_dashboard(self.runs, self.port)
        assert b"MLflow shows" in self._tracking.stdout.readline()

    def end_tracking(self) -> None:
        """End MLflow's server."""
        if self._tracking is not None:
            self._tracking.terminate()
            self._tracking.communicate(timeout=120)
            self._tracking = None

    def command(self, head: RayHead, *arguments: str, code: int = 0) -> str:
        """Run a command on the laptop, which knows the cluster."""
        known = {"RAY_API_SERVER_ADDRESS": head.address, "RAY_AUTH_TOKEN_PATH": head.token_file}
        env = {name: str(value) for name, value in known.items()}
        return gatesearch(*arguments, cwd=self.laptop, code=code, env=env, seconds=SECONDS)

    def submit(self, head: RayHead) -> str:
        """Submit the job and return its submission's id."""
        return self.command(head, "submit", f"{NAME}.yaml").split()[0]

    def groups(self) -> list[list[dict[str, Any]]]:
        """Return the journal; nothing where it cannot be read."""
        with closing(PostgresReader(self.url, NAME, patience=60)) as reader:
            return reader.read()

    def reached(self, share: float) -> bool:
        """Return whether so large a share of all epochs has been reported."""
        return sum(map(len, epochs(self.groups()).values())) >= share * ALL_EPOCHS

    def wait_for(self, head: RayHead, submission: str, share: float) -> None:
        """Wait until so large a share of all epochs has been reported."""

        def arrived() -> bool:
            job = cluster.find(submission)
            said = cluster.logs(submission)[-3000:] if job.is_ended else ""
            assert not job.is_ended, f"{job}\n{said}"
            return self.reached(share)

        with Client(head.address, find_token(head.token_file)) as cluster:
            wait_until(arrived, f"{share:.0%} of all epochs", SECONDS, pause=0.5)

    def wait_for_end(self, head: RayHead, submission: str) -> None:
        """Wait until a submission has succeeded."""
        log = self.command(head, "logs", submission, "-f")
        job = json.loads(self.command(head, "status", submission, "--json"))
        assert (job["state"], job["exit_code"]) == ("succeeded", 0), log[-3000:]
        assert "Traceback" not in log


@contextmanager
def service(
    folder: Path, database: Postgres, server: S3, patch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """Start what a cluster works with; its secrets are in the environment, as a user sets them."""
    with ExitStack() as stack:
        store = stack.enter_context(before(server.endpoint))
        url, bucket, (port,) = database.database(), server.bucket(), free_ports(1)
        door = stack.enter_context(faulty(port))
        laptop, runs = folder / "laptop", folder / "mlflow"
        laptop.mkdir()
        runs.mkdir()
        secret = {
            "PGPASSWORD": database.password,
            "AWS_SECRET_ACCESS_KEY": server.environment["AWS_SECRET_ACCESS_KEY"],
            "MLFLOW_TRACKING_PASSWORD": "planted-4f1c09ab77",
        }
        known = {**server.environment, **secret, "MLFLOW_TRACKING_USERNAME": "me"}
        known |= {"AWS_ENDPOINT_URL": store.endpoint, "GATESEARCH_STORAGE": url}
        for name, value in known.items():
            patch.setenv(name, value)
        storage = {"study": url, "checkpoints": f"s3://{bucket}/team"}
        places = {"storage": storage, "tracking": {"uri": door.uri}}
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in places.items()]
        (laptop / f"{NAME}.yaml").write_text(JOB + "".join(lines))
        found = Service(database, server, store, laptop, runs, url, bucket, port, door, secret)
        stack.callback(found.end_tracking)
        found.start_tracking()
        yield found


def epochs(groups: list[list[dict[str, Any]]]) -> dict[str, list[int]]:
    """Return the epochs that a journal's reports tell of each trial, in their order."""
    found: dict[str, list[int]] = {}
    for record in (record for group in groups for record in group):
        if record.get("record") == "report":
            found.setdefault(record["key"], []).extend(e["epoch"] for e in record["epochs"])
    return found


def check_exactly_once(there: Service) -> None:
    """Assert that journal, results and MLflow have every trial and every point exactly once."""
    groups = there.groups()
    records = [record for group in groups for record in group]
    keys = [f"search/{arm}/{number}" for arm in ARMS for number in range(TRIALS)]
    keys += [f"confirm/{arm}/{number}" for arm in ARMS for number in range(REPLICATES)]
    whole = list(range(1, EPOCHS + 1))
    for kind in ("trial", "end"):
        told = Counter(record["key"] for record in records if record.get("record") == kind)
        assert told == Counter(keys)
    assert epochs(groups) == dict.fromkeys(keys, whole)
    assert {r["state"] for r in records if r.get("record") == "end"} == {"complete"}

    # From anywhere, MLflow is filled from the journal, and has nothing less or twice after it.
    gatesearch("mirror", NAME, cwd=there.laptop, seconds=SECONDS)
    shutil.rmtree(there.laptop / "runs")  # the journal knows the runs by now
    listed = json.loads(
        gatesearch("results", NAME, "--json", "--phase", "all", cwd=there.laptop, seconds=SECONDS)
    )
    assert sorted(f"{r['phase']}/{r['arm']}/{r['number']}" for r in listed) == sorted(keys)
    assert all([point["epoch"] for point in r["curve"]] == whole for r in listed)

    with closing(sqlite3.connect(there.runs / "mlflow.db")) as tracking:
        runs = tracking.execute(
            "select t.value, r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid"
            " where t.key = 'gatesearch.key' and r.lifecycle_stage = 'active'"
        ).fetchall()
        assert Counter(key for key, _ in runs) == Counter([*keys, "job"])
        told = {f"{r['phase']}/{r['arm']}/{r['number']}": r["mlflow_run_id"] for r in listed}
        assert told == {key: run for key, run in runs if key != "job"}
        tags = {key for (key,) in tracking.execute("select key from tags")}
        assert {"verdict", "mlflow.note.content"} <= tags
        for key, run in runs:
            steps = tracking.execute(
                "select step from metrics where run_uuid = ? and key = 'train_loss' order by step",
                (run,),
            ).fetchall()
            assert [step for (step,) in steps] == ([] if key == "job" else whole)


def check_no_secret(there: Service, head: RayHead) -> None:
    """Assert that no secret is in a file, log, tag, object, row, process or runtime environment.

    Aside are the files and the variables that the servers and the user keep them in.
    """
    planted = {**there.secrets, "RAY_AUTH_TOKEN": head.token}
    seen = [
        (str(file), content)
        for folder in (there.laptop, there.runs, head.home.parent)
        for file in folder.rglob("*")
        if file != head.token_file and file.is_file() and not file.is_symlink()
        for content in [_content(file)]
    ]
    for name, secret in planted.items():
        assert not in_processes(forms(secret, "me"), {name})
    client = there.server.client()
    for key in there.server.keys(there.bucket):
        with suppress(client.exceptions.NoSuchKey):  # removed meanwhile
            body = client.get_object(Bucket=there.bucket, Key=key)["Body"].read()
            seen.append((f"s3://{key}", body))
    rows = there.database.run(there.url, "SELECT * FROM gatesearch_journal")
    seen.append(("the journal", json.dumps(rows).encode()))
    seen.append(("the jobs of Ray", there.command(head, "jobs", "--json").encode()))
    seen.append(("the runtime environments of Ray", _jobs_of_ray(head)))
    assert len(seen) > 100
    assert any(len(content) > 10_000 for _, content in seen)
    for place, content in seen:
        for name, secret in planted.items():
            assert secret.encode() not in content, f"{name} is in {place}"


def _content(file: Path) -> bytes:
    with suppress(OSError):  # it has gone meanwhile
        return file.read_bytes()
    return b""


def _jobs_of_ray(head: RayHead) -> bytes:
    import urllib.request

    headers = {"Authorization": f"Bearer {head.token}"}
    request = urllib.request.Request(f"{head.address}/api/jobs/", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
    assert b"runtime_env" in content
    return content


def crash(database: Postgres) -> None:
    """End a database server at once and start it again."""
    database.stop(signal.SIGQUIT)
    time.sleep(3)
    database.start()
