"""Claims about whole jobs in surroundings that do not suit them: signals, outputs, full disks."""

import os
import signal
from pathlib import Path

import pytest
from installed import gatesearch, records, running, session, wait_until

TINY = """\
name: tiny
task: {name: japanese-vowels}
arms: [gru]
space: {depth: 1, hidden_size: 8}
training: {max_epochs: 3}
search: {trials: 2}
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
    assert [path for path in temporary.rglob("*") if not path.is_dir()] == []


def test_a_report_that_cannot_be_written_is_told_and_resumed(folder: Path) -> None:
    """Its error is raised while Ray leaves, which must not end the process before it is told."""
    in_the_way = folder / "runs" / "tiny" / "results.parquet"
    in_the_way.mkdir(parents=True)
    said = gatesearch("run", "tiny.yaml", cwd=folder, code=1)
    assert f"{in_the_way}: Is a directory; nothing is lost. `gatesearch resume tiny`" in said
    assert "Traceback" not in said
    in_the_way.rmdir()
    gatesearch("resume", "tiny", cwd=folder)
    assert in_the_way.is_file()
    assert [record["state"] for record in records(folder, "tiny")] == ["complete"] * 2
