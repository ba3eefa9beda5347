"""A job on a cluster, watched from here: what is printed there becomes a copy of its journal."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from live_page import TOKEN, Events, asked, served
from written_jobs import WrittenJob

from deploy.client.cluster_job import ClusterJob
from deploy.errors import ClusterError
from search.watch.remote import Copy, RemoteControl
from search.watch.send import lines
from spaces.errors import GatesearchError


def printed(folder: Path, start: int) -> Generator[str, None, None]:
    """What the cluster's log has, in pieces that end anywhere."""
    text = b"".join(lines(folder, start, time.monotonic())).decode()
    text = f"a word of Ray's\n{text}"
    for place in range(0, len(text), 1_000):
        yield text[place : place + 1_000]


def test_a_copy_is_the_journal_and_goes_on_where_it_was(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    here.mkdir()
    job = WrittenJob(there)
    job.trial("search/rnn/0")
    (there / "now.json").write_text('{"pid": 1, "waits": [], "slots": [], "could_begin": 3}')
    copy = Copy(here, lambda start: printed(there, start))
    copy.take(printed(there, 0))
    first = copy.groups
    assert first == 2
    job.report("search/rnn/0", 1, 9)
    copy.take(printed(there, copy.groups))
    assert copy.groups == 3
    assert (here / "job.journal").read_bytes() == (there / "job.journal").read_bytes()
    assert (here / "now.json").read_text() == (there / "now.json").read_text()


def test_what_is_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "there")
    job.trial("search/rnn/0")
    (text,) = ["".join(printed(job.folder, 0))]
    copy = Copy(tmp_path, lambda start: printed(job.folder, start))
    with pytest.raises(GatesearchError, match="damaged"):
        copy.take([text.replace("rnn", "gru")])
    with pytest.raises(GatesearchError, match="lines"):
        copy.take(["x" * 2**23, "x" * 2**23, "x"])


def test_a_full_disk_leaves_no_hole_in_the_copy(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "there")
    job.whole()
    here = tmp_path / "here"
    here.mkdir()
    copy = Copy(here, lambda start: printed(job.folder, start))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, before[1]))
    try:
        with pytest.raises(OSError):
            copy.take(printed(job.folder, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert copy.groups > 0
    copy.take(printed(job.folder, copy.groups))
    assert (here / "job.journal").read_bytes() == (job.folder / "job.journal").read_bytes()


def test_what_cannot_be_printed_there_is_said_here(tmp_path: Path) -> None:
    copy = Copy(tmp_path, lambda start: printed(tmp_path, start))
    with pytest.raises(GatesearchError, match=r"said: .*No module named"):
        copy.take(["Running entrypoint\n/usr/bin/python: No module named search.watch.send\n"])
    assert copy.problem() is not None


@pytest.mark.parametrize("name", [None, "../../x", "x; rm -r y", "a/b", ""])
def test_a_name_that_is_no_jobs_is_no_folders(name: str | None) -> None:
    details = {"submission_id": "one", "status": "RUNNING", "metadata": {"gatesearch_name": name}}
    job = ClusterJob.of(details)
    with pytest.raises(ClusterError, match="must be a gatesearch job"):
        assert job.folder_name
    with pytest.raises(ClusterError, match="must be a gatesearch job"):
        assert job.folder_in_shell


class Lost:
    """A cluster that is away at first, and then prints from where it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked, self.stopped = folder, 0, ""

    def journal(self, submission: str, start: int) -> Generator[str, None, None]:
        self.asked += 1
        if self.asked == 1:
            raise OSError("connection refused")
        return printed(self.folder, start)

    def stop(self, submission: str) -> None:
        self.stopped = submission

    def resume(self, submission: str) -> None:
        raise GatesearchError("a cluster without a queue")


def test_a_cluster_that_is_away_is_said_to_be_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.watch.remote.AGAIN", 1.0)
    job = WrittenJob(tmp_path / "there")
    job.trial("search/rnn/0")
    cluster = Lost(job.folder)
    here = tmp_path / "vowels"
    here.mkdir()
    copy = Copy(here, lambda start: cluster.journal("one", start))
    copy.start()
    control = RemoteControl(cluster, "one")
    with served(here, control=lambda _: control, source=copy) as site:
        page = Events(site.port)
        page.wait(lambda items: "refused" in (items.get("problem") or ""), "it is away")
        page.wait(lambda items: items.get("head") and not items["problem"], "it is there")
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert asked(site.port, "/stop", "POST", bearer)[0] == 200 and cluster.stopped == "one"
        status, _, body = asked(site.port, "/resume", "POST", bearer)
        assert status == 409 and "gatesearch submit" in body
        page.close()
    copy.stop()


def test_printing_ends_with_the_job_and_not_with_a_driver_that_looks_again(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "there")
    job.whole()
    far = time.monotonic() + 1_000
    assert len(list(lines(job.folder, 0, far))) > 10
    at_work = [b"GATESEARCH-DRIVEN true\n"]
    assert list(lines(job.folder, 10_000, far)) == at_work  # on another machine, as far as is known
    job.driver()
    assert list(lines(job.folder, 10_000, far)) == at_work
    job.write({"record": "extend", "trials": 1, "seeds": 0, "time": job.tick()})
    going_on = lines(job.folder, 10_000, far)
    assert [next(going_on), next(going_on)] == [*at_work, b"GATESEARCH-HERE\n"]
    job.driver(2**30, socket.gethostname())
    assert b"GATESEARCH-DRIVEN false\n" in [next(going_on) for _ in range(3)]


def test_the_program_on_the_cluster_prints_and_ends(tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "there")
    job.trial("search/rnn/0")
    program = (
        "import sys; from pathlib import Path; from search.watch.send import main\n"
        "sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), 0.0))"
    )
    command = [sys.executable, "-P", "-c", program, str(job.folder)]
    done = subprocess.run([*command, "1"], capture_output=True, text=True, check=True)
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == [
        *("GATESEARCH-GROUP", "GATESEARCH-DRIVEN")
    ]
    (job.folder / "job.journal").write_text("something else\n")
    done = subprocess.run([*command, "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
