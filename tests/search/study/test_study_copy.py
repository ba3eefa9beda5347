"""A job's studies as stock Optuna storage: the same trials, whole or not at all, and opened."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import driven
import optuna
import pytest
from browser import CHROMIUM, browser
from server_process import end_with_parent, free_ports
from stored_studies import stored_studies

from search.study.copy import copy_studies
from spaces.errors import InputError

DASHBOARD = importlib.util.find_spec("optuna_dashboard") is not None
SECONDS = 120.0  # a bound that only a hang reaches


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that was cut off: trials of every state, and some that run."""
    folder = tmp_path_factory.mktemp("driven")
    driven.drive(
        driven.job(folder),
        folder,
        slots=3,
        diverges=lambda work, epoch: work.key.endswith("/1") and epoch == 2,
        fails=lambda work: work.key.endswith("/2"),
        most_reports=30,
    )
    return folder


@pytest.fixture(scope="module")
def copied(folder: Path) -> str:
    """The URL of its studies."""
    url = f"sqlite:///{folder}/studies.db"
    copy_studies(folder, url)
    return url


def told(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
    values = (trial.number, trial.state, trial.values, trial.params)
    return *values, trial.distributions, trial.intermediate_values


def test_every_trial_of_every_arm_is_there_as_it_is_in_the_journal(
    folder: Path, copied: str
) -> None:
    wanted = stored_studies(folder)
    assert set(wanted) == {"driven/rnn", "driven/lstm", "driven/gru"}
    states = set()
    for name, trials in wanted.items():
        study = optuna.load_study(study_name=name, storage=copied)
        assert study.direction.name == "MAXIMIZE"
        assert [told(trial) for trial in study.trials] == [told(trial) for trial in trials]
        states |= {trial.state.name for trial in study.trials}
    assert states == {"COMPLETE", "PRUNED", "FAIL", "RUNNING"}


def test_what_optuna_has_no_place_for_stands_beside_its_trials(folder: Path, copied: str) -> None:
    study = optuna.load_study(study_name="driven/gru", storage=copied)
    job_state = driven.told(folder)
    for trial in study.trials:
        own = job_state.trials[f"search/gru/{trial.number}"]
        assert trial.user_attrs["state"] == own.state
        assert trial.user_attrs["control"] is own.control
        assert (trial.user_attrs["cell"], trial.user_attrs["epochs"]) == ("gru", own.epoch)
        assert trial.user_attrs.get("reason") == own.reason
    assert study.user_attrs == {
        **{"job": "driven", "arm": "gru", "task": "japanese-vowels", "metric": "accuracy"},
    }


def test_an_existing_file_and_other_places_are_refused(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("mine")
    for url in (
        f"sqlite:///{there}",
        f"sqlite:///{tmp_path}/nowhere/x.db",
        "sqlite:///",
        f"{tmp_path}/x.db",
        "postgresql://ann:s3cret@db/x",
        f"sqlite:///{tmp_path}/x.db?mode=ro",
    ):
        with pytest.raises(InputError) as refused:
            copy_studies(folder, url)
        assert "s3cret" not in str(refused.value)
    assert there.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [there]


def test_kill_at_any_moment_leaves_no_file_that_looks_whole(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "studies.db"
    program = (
        "import sys; from pathlib import Path; from search.study.copy import copy_studies\n"
        "copy_studies(Path(sys.argv[1]), f'sqlite:///{sys.argv[2]}')"
    )
    command = [sys.executable, "-c", program, str(folder), str(target)]
    for size in (0, 50_000):
        with subprocess.Popen(command) as process:
            until = time.monotonic() + SECONDS
            while not any(path.stat().st_size >= size for path in tmp_path.glob(".studies.db.*")):
                assert time.monotonic() < until and process.poll() is None
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert not target.exists()
    copy_studies(folder, f"sqlite:///{target}")
    assert [path.name for path in tmp_path.iterdir()] == ["studies.db"]


@pytest.mark.skipif(not DASHBOARD, reason="optuna-dashboard is not installed")
def test_optuna_dashboard_opens_them(copied: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    program = "from optuna_dashboard._cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, copied, "--port", str(port), "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=end_with_parent(signal.SIGKILL),
    )
    try:
        listed = asked(process, f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        ids = {each["study_name"]: each["study_id"] for each in listed}
        assert set(ids) == {"driven/rnn", "driven/lstm", "driven/gru"}
        number = ids["driven/gru"]
        shown = asked(process, f"http://127.0.0.1:{port}/api/studies/{number}?after=0")
        study = optuna.load_study(study_name="driven/gru", storage=copied)
        assert len(shown["trials"]) == len(study.trials)
        if CHROMIUM is not None:
            with browser() as page:
                page.look(width=1280)
                page.ask("Page.navigate", url=f"http://127.0.0.1:{port}/dashboard/studies/{number}")
                until = time.monotonic() + SECONDS
                while "driven/gru" not in page.run("document.body?.innerText ?? ''"):
                    assert time.monotonic() < until
                    time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


def asked(process: "subprocess.Popen[bytes]", url: str) -> Any:
    """Return the JSON that a server answers with, once it is up."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                return json.load(answer)
        except OSError:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.1)
