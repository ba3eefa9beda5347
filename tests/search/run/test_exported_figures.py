"""What a job tells Prometheus: figures of its journal and its mirror, told by Ray where it runs."""

import errno
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from driven import INFO, Workers, job
from server_process import free_ports

from search.journal.open import open_journal
from search.run import metrics
from search.run.budgets import STATES
from search.run.driver import Driver
from search.run.metrics import METRICS, PHASES, exported, figures
from search.tracking.state import MirrorState, StateFile

SUPPORT = Path(__file__).parents[2] / "support"


def told(driver: Driver, folder: Path) -> dict[tuple[str, ...], float]:
    found = figures(driver, folder)
    for figure in found:
        assert set(figure.labels) == {"name", *METRICS[figure.metric].labels}
    return {(one.metric, *list(one.labels.values())[1:]): one.value for one in found}


def test_figures_are_those_of_the_journal(tmp_path: Path) -> None:
    spec = job(tmp_path, arms=["rnn", "gru"], search={"trials": 4}, confirm={"seeds": 1})
    with open_journal(spec, tmp_path) as journal:
        driver = Driver(spec, INFO, journal)
        Workers(driver, slots=2).run(most_reports=12)
        found, state = told(driver, tmp_path), driver.job_state
        for arm in ("rnn", "gru"):
            own = [trial for trial in state.trials.values() if trial.arm == arm]
            assert sum(found["gatesearch_trials", arm, name] for name in STATES) == len(own)
            assert found["gatesearch_epochs", arm] == sum(trial.epoch for trial in own) > 0
        assert [found["gatesearch_phase", phase] for phase in PHASES].count(1.0) == 1
        assert found["gatesearch_phase", state.phase] == 1
        assert found[("gatesearch_slots_waiting",)] == driver.could_begin() > 0
        assert found[("gatesearch_mirror_behind",)] == len(state.trials)
        mirror = StateFile(tmp_path)
        mirror.record_server("http://here", "1")
        for number, key in enumerate(state.trials):
            mirror.record_run(key, str(number))
        mirror.record_error("away")
        found = told(driver, tmp_path)
        assert found[("gatesearch_mirror_behind",)] == 0
        assert found[("gatesearch_mirror_error",)] == 1
        assert {name for name, *_ in found} == set(METRICS)


def test_a_mirrors_file_that_cannot_be_read_ends_no_telling(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stale(folder: Path) -> MirrorState:
        raise OSError(errno.ESTALE, "Stale file handle", str(folder))

    monkeypatch.setattr(metrics, "mirror_state", stale)
    spec, over = job(tmp_path, arms=["rnn"]), threading.Event()
    over.set()  # it tells once more and returns
    with open_journal(spec, tmp_path) as journal:
        metrics._tell(Driver(spec, INFO, journal), tmp_path, over)


def test_a_job_on_a_ray_of_its_own_tells_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    threads = threading.active_count()
    spec = job(tmp_path, arms=["rnn"])
    with open_journal(spec, tmp_path) as journal, exported(Driver(spec, INFO, journal), tmp_path):
        assert threading.active_count() == threads


#: A driver on a cluster whose agent exports on the port that is given, until all figures are there.
PROGRAM = """
import os, sys, time, urllib.request
from pathlib import Path
import ray
from driven import INFO, Workers, job
from search.journal.open import open_journal
from search.run.driver import Driver
from search.run.metrics import METRICS, exported

folder, port = Path(sys.argv[1]), int(sys.argv[2])
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False,
         _node_ip_address="127.0.0.1", _metrics_export_port=port)
os.environ["RAY_ADDRESS"] = "auto"
spec = job(folder, arms=["rnn"], search={"trials": 4}, confirm={"seeds": 1})

def missing():
    try:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)
    except OSError:
        return set(METRICS)
    with answer:
        lines = answer.read().decode().splitlines()
    mine = [line for line in lines if ',name="driven"' in line]
    return set(METRICS) - {line.partition("{")[0].removeprefix("ray_") for line in mine}

with open_journal(spec, folder) as journal:
    driver = Driver(spec, INFO, journal)
    Workers(driver, slots=2).run(most_reports=12)
    with exported(driver, folder):
        until = time.monotonic() + 240
        while missing() and time.monotonic() < until:
            time.sleep(1)
    print("missing:", sorted(missing()))
ray.shutdown()
"""


@pytest.mark.slow
def test_a_node_s_agent_exports_every_figure(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")])),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Otherwise Ray takes the network card's address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    command = [sys.executable, "-c", PROGRAM, tmp_path, str(port)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=290)
    assert done.stdout.splitlines()[-1:] == ["missing: []"], done.stderr[-2000:]
