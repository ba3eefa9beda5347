"""Claims about whole jobs in surroundings that do not suit them: signals, outputs, full disks."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from installed import GATESEARCH, gatesearch, records, running, session
from waiting import wait_until

TINY = """\
name: tiny
task: {name: japanese-vowels}
arms: [gru]
space: {depth: 1, hidden_size: 8}
training: {max_epochs: 3}
search: {trials: 2, pruner: none}
confirm: {seeds: 0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_while_ray_starts_end_a_job_in_one_line_and_leave_nothing(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(temporary := folder / "t"))
    temporary.mkdir()
    log = folder / "output.log"
    heed(name)
    with running("run", "tiny.yaml", cwd=folder) as process:
        wait_until(lambda: "starting Ray" in log.read_text(), "Ray is about to start")
        for _ in range(3):
            if process.poll() is None:
                os.killpg(process.pid, getattr(signal, name))
        assert process.wait(timeout=60) == 130
        assert session(process.pid) == []
    *_, last = log.read_text().splitlines()
    assert last == "Interrupted; nothing is lost. `gatesearch resume tiny` continues the job."
    assert "Traceback" not in log.read_text()
    left = [path for path in temporary.rglob("*") if not path.is_dir()]
    # Python tries a folder by such a file of eight letters, which a killed process may leave.
    assert [
        path
        for path in left
        if not re.fullmatch(r"[a-z0-9_]{8}", path.name) or path.read_bytes() not in (b"", b"blat")
    ] == []


def heed(name: str) -> None:
    """Have processes that are started from now on heed a signal, which nohup has them ignore."""
    number = getattr(signal, name)
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_told_and_resumed(folder: Path) -> None:
    """Its error is raised while Ray leaves, which must not end the process before it is told."""
    in_the_way = folder / "runs" / "tiny" / "results.parquet"
    with running("run", "tiny.yaml", cwd=folder) as process:
        wait_until(lambda: (in_the_way.parent / "job.journal").exists(), "the job is begun")
        in_the_way.mkdir()
        assert process.wait(timeout=240) == 1
    said = (folder / "output.log").read_text()
    assert f"{in_the_way}: Is a directory; nothing is lost. `gatesearch resume tiny`" in said
    assert "Traceback" not in said
    in_the_way.rmdir()
    gatesearch("resume", "tiny", cwd=folder)
    assert in_the_way.is_file()
    assert [record["state"] for record in records(folder, "tiny")] == ["complete"] * 2


@pytest.mark.parametrize(
    "optimize",  # Python compiles every module again for it, in every process
    ["0", pytest.param("1", marks=pytest.mark.slow)],
)
def test_a_job_comes_to_its_end_in_surroundings_that_do_not_suit_it(
    folder: Path, optimize: str
) -> None:
    long = folder / "a-batch-system-s-folder-for-this-job" / "1355700"
    long.mkdir(parents=True)
    surroundings = {
        "TMPDIR": str(long),
        "RAY_ADDRESS": "http://127.0.0.1:8265",
        "RAY_RUNTIME_ENV_HOOK": "no.such.hook",
        "RAY_CHDIR_TO_TRIAL_DIR": "1",
        "RAY_OVERRIDE_RESOURCES": '{"CPU": 64}',
        "TUNE_RESULT_DIR": "/nowhere",
        "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": optimize,
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        ["bash", "-c", f"{GATESEARCH} run tiny.yaml <&- > /dev/full"],
        cwd=folder,
        env=os.environ | surroundings,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert "RAY_ADDRESS=http://127.0.0.1:8265 is an address for `gatesearch submit`" in done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("standard output: No space left on device")
    assert done.returncode == 1
    assert "is finished" in gatesearch("resume", "tiny", cwd=folder)
    assert [record["state"] for record in records(folder, "tiny")] == ["complete"] * 2
