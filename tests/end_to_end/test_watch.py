"""A real job, watched: it moves, survives kill -9, goes on and stops from the page, and ends."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import records, running
from live_page import Events, asked, watching
from planted import forms, in_files, in_processes
from waiting import wait_until

pytestmark = pytest.mark.timeout(900)
PASSWORD = f"planted-{secrets.token_hex(8)}"
WATCHED = """\
name: watched
task: {name: japanese-vowels}
arms: [rnn, gru]
space: {depth: 1, hidden_size: {choices: [8, 16]}}
training: {max_epochs: 27}
search: {trials: 8, pruner: none, sampler: random}
confirm: {finalists: 1, seeds: 2}
tracking: {uri: "http://127.0.0.1:9"}
"""
WAIT = 400.0  # seconds, a bound that only a hang reaches


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """The job, begun, whose tracking server is away and has a password."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    (tmp_path / "watched.yaml").write_text(WATCHED)
    with running("run", "watched.yaml", cwd=tmp_path) as process:
        journal = tmp_path / "runs" / "watched" / "job.journal"
        wait_until(lambda: journal.exists() or process.poll() is not None, "it begins")
        yield process


def is_trained(page: Events) -> None:
    page.wait(lambda items: any(name.startswith("curve/") for name in items), "a curve", WAIT)
    page.wait(lambda items: items["slots"]["told"], "what workers do", WAIT)


def test_two_watch_a_job_through_kill_and_resume_to_its_verdict(
    tmp_path: Path, begun: "subprocess.Popen[bytes]"
) -> None:
    folder = tmp_path / "runs" / "watched"
    with watching("watched", folder=tmp_path) as (port, token, said):
        pages = [Events(port), Events(port)]
        for page in pages:
            is_trained(page)
        page = pages[0]
        os.kill(driver_of(folder), signal.SIGKILL)
        head = page.wait(lambda items: not items["head"]["driven"] and items["head"], "death", WAIT)
        assert head["resume"] == "gatesearch resume watched"
        begun.wait(120)
        bearer = {"Authorization": f"Bearer {token}"}
        assert asked(port, "/resume", "POST")[0] == 401
        assert asked(port, "/resume", "POST", bearer)[0] == 200
        page.wait(lambda items: items["head"]["driven"], "it is resumed", WAIT)
        assert not in_processes(forms(PASSWORD, "ann"), {"MLFLOW_TRACKING_PASSWORD"})
        page.wait(lambda items: items["head"]["finished"], "the end", WAIT)
        assert page.items["head"]["trials"] == 20
        for each in pages:
            each.wait(lambda items: items["report"].get("phase") == "done", "the verdict", WAIT)
            assert "pair" in each.items["report"]["sentence"]
        page.wait(
            lambda items: any("MLflow" in text for text in items["waits"]), "it is away", WAIT
        )
        shown = [asked(port, path)[2] for path in ("/", "/live.js", "/report")]
        for each in pages:
            each.close()
    told = [str(page.messages) for page in pages]
    assert not [text for text in (*shown, *told, *said) if PASSWORD in text]
    assert not in_files(forms(PASSWORD, "ann"), [tmp_path])
    listed = records(tmp_path, "watched")
    assert {each["state"] for each in listed} == {"complete"} and len(listed) == 20


@pytest.mark.slow
def test_a_job_is_stopped_from_its_page_and_goes_on(
    tmp_path: Path, begun: "subprocess.Popen[bytes]"
) -> None:
    with watching("watched", folder=tmp_path) as (port, token, _):
        page = Events(port)
        is_trained(page)
        bearer = {"Authorization": f"Bearer {token}"}
        assert asked(port, "/stop", "POST")[0] == 401
        assert begun.poll() is None
        assert asked(port, "/stop", "POST", bearer)[0] == 200
        assert begun.wait(120) == 130
        page.wait(lambda items: not items["head"]["driven"], "it is stopped", WAIT)
        assert asked(port, "/resume", "POST", bearer)[0] == 200
        page.wait(lambda items: items["head"]["finished"], "the end", WAIT)
        assert page.items["head"]["trials"] == 20
        page.close()


def driver_of(folder: Path) -> int:
    """Return the process that holds a job's lock."""
    words = (folder / "job.journal.lock").read_text().split()
    return int(words[1])
