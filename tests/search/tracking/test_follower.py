"""What the mirror stores in MLflow, with a real SQLite store (as a process: test_mirror)."""

import json
import math
import os
import shutil
import socket
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow_content import comparable, curve, database
from written_jobs import WrittenJob

from search.journal.file import FileJournal
from search.tracking.database import DATABASE
from search.tracking.follower import ExitCode, Follower
from search.tracking.mirror import mirror_once, start_mirror
from search.tracking.mlflow_compat import LONGEST_TAG, NOTE_TAG, environment, open_client
from search.tracking.state import mirror_state, run_ids
from spaces.config import completed
from spaces.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*")

OpenClient = Callable[[str], Any]


def uri(root: Path) -> str:
    return f"sqlite:///{root / DATABASE}"


def mirror(folder: Path, open_client: OpenClient = open_client, *, rebuild: bool = False) -> int:
    """Mirror what a journal holds, once, in this process."""
    with environment():
        follower = Follower(folder, uri(folder.parent), None, None, 0.0, open_client)
        follower.rebuild = rebuild
        return follower.run()


def stored(root: Path) -> dict[str, Any]:
    """The one run of each key."""
    found = database(root / DATABASE)
    assert all(len(runs) == 1 for runs in found.values())
    return {key: runs[0] for key, runs in found.items()}


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the mirror's may see it."""


class Requests:
    """Opens clients whose requests are counted, and may kill the mirror at one of them."""

    def __init__(self, *, kill_at: int | None = None, kill_after: bool = False) -> None:
        self.names: list[str] = []
        self._kill_at = kill_at
        self._kill_after = kill_after

    def open_client(self, address: str) -> "_Client":
        return _Client(open_client(address), self)

    def made(self, name: str, request: Callable[[], Any]) -> Any:
        self.names.append(name)
        deadly = len(self.names) == self._kill_at
        if deadly and not self._kill_after:
            raise Killed
        answer = request()
        if deadly:
            raise Killed
        return answer


class Failing(Requests):
    """Opens clients of which one request fails: always, or the one of this number."""

    def __init__(self, name: str, code: int, number: int | None = None) -> None:
        super().__init__()
        self._name, self._code, self._number = name, code, number

    def made(self, name: str, request: Callable[[], Any]) -> Any:
        number = self.names.count(name) + 1
        fails = name == self._name and self._number in (None, number)

        def failing() -> None:
            raise MlflowException("on purpose", error_code=self._code)

        return super().made(name, failing if fails else request)


class _Client:
    def __init__(self, client: Any, requests: Requests) -> None:
        self._client, self._requests = client, requests

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **named: self._requests.made(name, lambda: method(*args, **named))


def whole_job(root: Path, name: str = "vowels") -> Path:
    job = WrittenJob(root / name)
    job.whole()
    return job.folder


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Path:
    """A runs folder with a whole job that has been mirrored. Read it only."""
    root = tmp_path_factory.mktemp("mirrored")
    shutil.copy(schema, root / DATABASE)
    assert mirror(whole_job(root)) == ExitCode.COMPLETE
    return root


def test_every_trial_is_one_run_below_the_job_s_run(mirrored: Path) -> None:
    runs = stored(mirrored)
    job = runs.pop("job")
    assert len(runs) == 9
    assert {run["tags"]["mlflow.parentRunId"] for run in runs.values()} == {job["run_id"]}
    assert {run["experiment"] for run in runs.values()} == {job["experiment"]}
    assert (
        open_client(uri(mirrored)).get_experiment(str(job["experiment"])).name
        == "gatesearch/vowels"
    )
    assert "mlflow.parentRunId" not in job["tags"]


def test_run_shows_its_trial(mirrored: Path) -> None:
    run = stored(mirrored)["search/lstm/0"]
    assert run["name"] == "lstm d2 h8 #0"
    given = {"cell": "lstm", "gates": "standard", "depth": 2, "learning_rate": 0.001}
    given |= {"hidden_size": 8, "max_epochs": 9}
    # What the journal of an earlier version lacks has its default.
    everything = {**completed(given), "arm": "lstm", "number": 0, "seed": 7}
    assert run["params"] == {
        name: "null" if value is None else str(value).lower() for name, value in everything.items()
    }
    tags = ("arm", "cell", "gates", "phase", "control", "generation", "state")
    shown = [run["tags"][tag] for tag in tags]
    assert shown == ["lstm", "lstm", "standard", "search", "false", "1", "complete"]
    assert [step for step, _ in curve(run, "accuracy")] == [1, 2, 3, 4, 5, 6]
    assert curve(run, "train_loss") == [(epoch, 2 / epoch) for epoch in range(1, 7)]
    assert curve(run, "loss") == [(epoch, 1 / epoch) for epoch in range(1, 7)]
    assert len(curve(run, "seconds")) == 6
    assert curve(run, "best_accuracy") == [(0, max(v for _, v in curve(run, "accuracy")))]
    assert curve(run, "parameters") == [(0, 1234)]
    assert run["data"] == []  # it stands with the job and the replicates: it costs a request
    for key in ("job", "confirm/lstm/0"):
        assert stored(mirrored)[key]["data"] == [("japanese-vowels", "0123456789ab")]
    assert run["started"] < run["points"][0][2] <= run["ended"]


@pytest.mark.parametrize(
    ("key", "status", "state"),
    [
        ("search/lstm/0", "FINISHED", "complete"),
        ("search/lstm/1", "FINISHED", "pruned"),
        ("search/rnn/1", "FAILED", "diverged"),
        ("search/lstm/2", "FAILED", "failed"),
    ],
)
def test_status_follows_from_the_state(mirrored: Path, key: str, status: str, state: str) -> None:
    run = stored(mirrored)[key]
    assert (run["status"], run["tags"]["state"]) == (status, state)


def test_reason_of_a_failure_is_a_tag(mirrored: Path) -> None:
    runs = stored(mirrored)
    assert runs["search/lstm/2"]["tags"]["reason"] == "out of memory"
    assert "reason" not in runs["search/lstm/1"]["tags"]


def test_job_s_run_sums_up_arms_and_replicates(mirrored: Path) -> None:
    runs = stored(mirrored)
    job = runs["job"]
    assert (job["status"], job["tags"]["phase"], job["params"]["search.trials"]) == (
        "FINISHED",
        "done",
        "2",
    )
    assert job["params"]["arms"] == '["rnn", "lstm"]'
    best = curve(runs["search/lstm/0"], "best_accuracy")[0][1]
    assert curve(job, "best_accuracy/lstm") == [(1, best), (2, best), (3, best)]
    assert curve(job, "test_accuracy_mean/rnn") == [(1, 0.9), (2, pytest.approx(0.92))]
    assert curve(job, "test_accuracy_std/rnn") == [(2, pytest.approx(math.sqrt(0.0008)))]
    assert curve(job, "test_accuracy_low/rnn") == [(1, 0.9), (2, 0.9)]
    assert curve(job, "test_accuracy_high/rnn") == [(1, 0.9), (2, 0.94)]
    states = {state: curve(job, f"trials_{state}") for state in ("complete", "diverged", "pruned")}
    assert states == {"complete": [(1, 1), (2, 2)], "diverged": [(3, 1)], "pruned": [(4, 1)]}
    spent = {key: sum(t for _, t in curve(run, "train_seconds")) for key, run in runs.items()}
    for arm in ("rnn", "lstm"):
        of_arm = sum(t for key, t in spent.items() if key.startswith(f"search/{arm}/"))
        assert curve(job, f"training_seconds/{arm}")[-1][1] == pytest.approx(of_arm)
    confirmed = [t for key, t in spent.items() if key.startswith("confirm/")]
    assert curve(job, "confirm_seconds")[-1] == (4, pytest.approx(sum(confirmed)))
    replicate = runs["confirm/rnn/1"]
    assert curve(replicate, "test_accuracy") == [(0, 0.94)]
    assert (replicate["params"]["finalist"], replicate["params"]["replicate"]) == ("0", "1")


def test_report_and_best_configuration_are_stored_with_the_job(root: Path) -> None:
    folder = whole_job(root)
    mirror(folder)
    job = stored(root)["job"]
    files = list((root / "mlartifacts" / "vowels" / job["run_id"]).rglob("*.*"))
    assert {path.name for path in files} == {"job.yaml", "report.html", "config.yaml"}
    (folder / "report.html").write_text("<h1>Another</h1>")
    mirror(folder)
    report = next(path for path in files if path.name == "report.html")
    assert report.read_text() == "<h1>Another</h1>"


def test_the_verdict_of_a_finished_job_stands_on_its_run(root: Path) -> None:
    folder = whole_job(root)
    told = {"kind": "decided", "best": ["lstm"], "sentence": "With fresh seeds, lstm beats rnn."}
    (folder / "verdict.json").write_text(json.dumps(told))
    mirror(folder)
    tags = stored(root)["job"]["tags"]
    assert (tags["verdict"], tags["winner"]) == ("decided", "lstm")
    assert tags[NOTE_TAG].startswith("With fresh seeds, lstm beats rnn.\n\nOne run per trial")
    (folder / "verdict.json").write_text(json.dumps(told | {"kind": "undecided"}))
    mirror(folder)
    tags = stored(root)["job"]["tags"]
    assert (tags["verdict"], tags.get("winner", "")) == ("undecided", "")


def test_the_verdict_enters_a_note_that_was_sent_before_unless_people_edited_it(root: Path) -> None:
    folder = whole_job(root)
    told = {"kind": "decided", "best": ["lstm"], "sentence": "With fresh seeds, lstm beats rnn."}
    mirror(folder)
    (folder / "verdict.json").write_text(json.dumps(told))
    mirror(folder)
    assert stored(root)["job"]["tags"][NOTE_TAG].startswith("With fresh seeds, lstm beats rnn.")
    with environment():
        client = open_client(uri(root))
        client.set_tag(stored(root)["job"]["run_id"], NOTE_TAG, "Mine.")
    (folder / "verdict.json").write_text(json.dumps(told | {"sentence": "Another one."}))
    mirror(folder)
    assert stored(root)["job"]["tags"][NOTE_TAG] == "Mine."


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "decided"}', "{" * 100_000])
def test_a_verdict_that_cannot_be_read_stops_no_mirror(root: Path, text: str) -> None:
    folder = whole_job(root)
    (folder / "verdict.json").write_text(text)
    mirror(folder)
    tags = stored(root)["job"]["tags"]
    assert "verdict" not in tags and tags[NOTE_TAG].startswith("One run per trial")


def test_mirroring_again_changes_nothing_and_sends_nothing(root: Path) -> None:
    folder = whole_job(root)
    mirror(folder)
    before = database(root / DATABASE)
    requests = Requests()
    assert mirror(folder, requests.open_client) == ExitCode.COMPLETE
    assert database(root / DATABASE) == before
    assert set(requests.names) == {"get_experiment_by_name", "search_runs"}


def test_points_of_a_run_are_sent_in_one_request(root: Path) -> None:
    requests = Requests()
    mirror(whole_job(root), requests.open_client)
    sent = [requests.names.count(n) for n in ("create_run", "log_batch", "set_terminated")]
    assert sent == [10, 10, 10]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_mirror_that_dies_at_any_request_loses_and_doubles_nothing(
    tmp_path: Path, schema: Path, moment: str
) -> None:
    def new_folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        shutil.copy(schema, tmp_path / name / DATABASE)
        job = WrittenJob(tmp_path / name / "vowels")
        job.trial("search/rnn/0")
        job.report("search/rnn/0", 1, 3)
        job.end("search/rnn/0")
        job.trial("search/rnn/1")
        job.finish()
        return job.folder

    undisturbed, requests = new_folder("undisturbed"), Requests()
    mirror(undisturbed, requests.open_client)
    expected = comparable(database(undisturbed.parent / DATABASE))
    for number in range(1, len(requests.names) + 1):
        folder = new_folder(str(number))
        deadly = Requests(kill_at=number, kill_after=moment == "after")
        with pytest.raises(Killed):
            mirror(folder, deadly.open_client)
        assert mirror(folder) == ExitCode.COMPLETE
        assert comparable(database(folder.parent / DATABASE)) == expected


def test_run_created_by_a_request_that_seemed_lost_is_not_left_over(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 2)
    mirror(job.folder)
    run = stored(root)["search/rnn/0"]
    open_client(uri(root)).create_run(str(run["experiment"]), tags=run["tags"])
    assert len(database(root / DATABASE)["search/rnn/0"]) == 2
    job.end("search/rnn/0")
    mirror(job.folder)
    assert stored(root)["search/rnn/0"]["run_id"] == run["run_id"]


def test_deleted_run_is_sent_again(root: Path) -> None:
    folder = whole_job(root)
    mirror(folder)
    before = comparable(database(root / DATABASE))
    open_client(uri(root)).delete_run(stored(root)["search/lstm/0"]["run_id"])
    assert mirror(folder) == ExitCode.COMPLETE
    assert comparable(database(root / DATABASE)) == before


def test_run_deleted_while_the_mirror_pauses_is_sent_again(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 2)
    looks = 0

    def alive() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:  # the mirror has sent all that there was, and pauses
            open_client(uri(root)).delete_run(stored(root)["search/rnn/0"]["run_id"])
            job.report("search/rnn/0", 3, 4)
        return looks <= 3

    with environment():
        follower = Follower(job.folder, uri(root), os.getpid(), alive, 60.0)
        assert follower.run() == ExitCode.COMPLETE
    assert len(curve(stored(root)["search/rnn/0"], "accuracy")) == 4


def test_a_mirror_outlasts_a_server_that_is_away_for_2000_rounds(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 2)
    opened, looks = 0, 0

    def open_late(address: str) -> Any:
        nonlocal opened
        opened += 1
        if opened <= 2_000:
            raise MlflowException("on purpose", error_code=TEMPORARILY_UNAVAILABLE)
        return open_client(address)

    def alive() -> bool:
        """Every second look is that of a pause, which ends at once without a driver."""
        nonlocal looks
        looks += 1
        return opened < 2_000 and looks % 2 == 1

    with environment():
        follower = Follower(job.folder, uri(root), os.getpid(), alive, 60.0, open_late)
        assert follower.run() == ExitCode.COMPLETE
    assert len(curve(stored(root)["search/rnn/0"], "accuracy")) == 2
    assert mirror_state(job.folder).error is None


def test_deleted_experiment_is_taken_back(root: Path) -> None:
    folder = whole_job(root)
    mirror(folder)
    before = database(root / DATABASE)
    open_client(uri(root)).delete_experiment(str(stored(root)["job"]["experiment"]))
    assert mirror(folder) == ExitCode.COMPLETE
    assert database(root / DATABASE) == before


def test_interrupted_trial_is_killed_and_runs_again_after_a_resume(root: Path) -> None:
    job = WrittenJob(root / "vowels", host=socket.gethostname())
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 2)
    mirror(job.folder)
    runs = stored(root)
    for key in ("job", "search/rnn/0"):
        assert (runs[key]["status"], runs[key]["tags"]["state"]) == ("KILLED", "interrupted")

    job.driver(os.getpid(), socket.gethostname())
    with FileJournal(job.folder / "job.journal"):
        mirror(job.folder)
    runs = stored(root)
    for key in ("job", "search/rnn/0"):
        assert (runs[key]["status"], runs[key]["tags"]["state"]) == ("RUNNING", "running")
        assert runs[key]["tags"]["generation"] == "2"

    job.report("search/rnn/0", 2, 3)  # the second epoch again, from an older checkpoint
    job.end("search/rnn/0")
    job.finish()
    mirror(job.folder)
    runs = stored(root)
    assert (runs["job"]["status"], runs["search/rnn/0"]["status"]) == ("FINISHED", "FINISHED")
    assert [step for step, _ in curve(runs["search/rnn/0"], "accuracy")] == [1, 2, 3]


def test_a_trial_of_a_driver_elsewhere_is_not_called_interrupted(root: Path) -> None:
    """`results` says the same of it: nothing is known here of that driver."""
    job = WrittenJob(root / "vowels", host="elsewhere")
    job.trial("search/rnn/0")
    mirror(job.folder)
    assert stored(root)["search/rnn/0"]["status"] == "RUNNING"


def test_extended_job_goes_on_in_the_same_runs(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.whole()
    mirror(job.folder)
    before = {key: run["run_id"] for key, run in stored(root).items()}
    job.driver()
    job.write({"record": "extend", "trials": 1, "seeds": 0, "time": job.tick()})
    job.trial("search/rnn/2")
    job.report("search/rnn/2", 1, 6)
    job.end("search/rnn/2")
    job.finish()
    mirror(job.folder)
    runs = stored(root)
    assert {key: runs[key]["run_id"] for key in before} == before
    assert runs.keys() - before.keys() == {"search/rnn/2"}
    assert (runs["job"]["status"], runs["job"]["tags"]["added_trials"]) == ("FINISHED", "1")


def test_two_jobs_of_one_name_share_an_experiment_and_no_run(tmp_path: Path, root: Path) -> None:
    first = WrittenJob(root / "vowels")
    first.whole()
    second = WrittenJob(root / "elsewhere", pid=2)
    second.whole()
    mirror(first.folder)
    mirror(second.folder)
    found = database(root / DATABASE)
    assert {len(runs) for runs in found.values()} == {2}
    assert len({run["experiment"] for runs in found.values() for run in runs}) == 1
    assert not set(run_ids(first.folder).values()) & set(run_ids(second.folder).values())


def test_a_moved_runs_folder_is_mirrored_as_before(root: Path) -> None:
    old, new = root / "a", root / "b" / "c"
    old.mkdir()
    shutil.copy(root / DATABASE, old)
    folder = whole_job(old)
    assert mirror(folder) == ExitCode.COMPLETE
    before = stored(old)
    new.parent.mkdir()
    old.rename(new)
    (new / "vowels" / "report.html").write_text("<h1>Another</h1>")
    assert mirror(new / "vowels") == ExitCode.COMPLETE
    after = stored(new)
    assert [run["run_id"] for run in after.values()] == [run["run_id"] for run in before.values()]
    (report,) = (new / "mlartifacts").rglob("report.html")
    assert report.read_text() == "<h1>Another</h1>"
    assert not old.exists()
    with closing(sqlite3.connect(new / DATABASE)) as connection:
        dump = "\n".join(connection.iterdump())
    assert str(root) not in dump


def test_a_copied_job_never_mirrors_into_the_other_s_runs(root: Path) -> None:
    folder = whole_job(root)
    assert mirror(folder) == ExitCode.COMPLETE
    before, copy = comparable(database(root / DATABASE)), root / "copy"
    shutil.copytree(folder, copy)
    with (copy / "report.html").open("a") as report:
        report.write("of the copy")
    assert mirror(copy) == mirror(copy, rebuild=True) == ExitCode.BEHIND
    assert "vowels, of which this folder is a copy" in (mirror_state(copy).error or "")
    assert comparable(database(root / DATABASE)) == before
    assert mirror(folder) == ExitCode.COMPLETE
    folder.rename(root / "elsewhere")  # the same job under another name: it was moved
    assert mirror(root / "elsewhere") == ExitCode.COMPLETE
    assert mirror(copy) == ExitCode.BEHIND


def test_a_rebuild_that_meets_a_lost_run_still_deletes_the_others(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.tracking.follower._ROUND", 0.05)  # seconds until it tries again
    job = WrittenJob(root / "vowels")
    for number in range(2):
        job.trial(f"search/rnn/{number}")
    assert mirror(job.folder) == ExitCode.COMPLETE
    before = {run["run_id"] for run in stored(root).values()}
    lost = Failing("delete_run", RESOURCE_DOES_NOT_EXIST, 2)  # somebody's clean-up was faster
    with environment():
        follower = Follower(job.folder, uri(root), None, None, 60.0, lost.open_client)
        follower.rebuild = True
        assert follower.run() == ExitCode.COMPLETE
    assert before.isdisjoint(run["run_id"] for run in stored(root).values())


@pytest.mark.parametrize(
    ("refused", "sent", "reason"),
    [("set_experiment_tag", 2, "the experiment's tags: on purpose"), ("create_run", 0, "job: on")],
)
def test_what_mlflow_refuses_of_the_job_as_a_whole_is_told(
    refused: str, sent: int, reason: str, root: Path
) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    requests = Failing(refused, INVALID_PARAMETER_VALUE)
    assert mirror(job.folder, requests.open_client) == ExitCode.BEHIND
    assert len(stored(root)) == sent
    assert (mirror_state(job.folder).error or "").startswith(reason)


def test_texts_that_cannot_be_encoded_or_are_long_are_stored(root: Path) -> None:
    job = WrittenJob(root / "vowels", more={"arms": ["\ud800", "b" * 30_000]})
    job.trial("search/\ud800/0")
    job.report("search/\ud800/0", 1, 1)
    job.end("search/\ud800/0", reason="no file \udcff")
    job.finish()
    told = {"kind": "undecided", "best": [], "sentence": "Between \ud800 and b"}
    (job.folder / "verdict.json").write_text(json.dumps(told))
    assert mirror(job.folder) == ExitCode.COMPLETE
    runs = stored(root)
    assert len(curve(runs["search/?/0"], "accuracy")) == 1
    tags = open_client(uri(root)).get_experiment(str(runs["job"]["experiment"])).tags
    assert tags[NOTE_TAG].startswith("Between ? and b") and len(tags[NOTE_TAG]) == LONGEST_TAG


@pytest.mark.parametrize("mask", [0o077, 0o002])
def test_files_have_the_permissions_that_the_umask_leaves(mask: int, root: Path) -> None:
    (root / DATABASE).chmod(0o666 & ~mask)
    before = os.umask(mask)
    try:
        assert mirror(whole_job(root)) == ExitCode.COMPLETE
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}
    assert modes == {0o666 & ~mask}


def test_no_file_is_stored_that_a_link_leads_out_of_the_folder_to(root: Path) -> None:
    folder, secret = whole_job(root), root / "secret"
    (folder / "best" / "card.md").symlink_to(secret)
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(secret)
    secret.write_text("hunter2")
    assert mirror(folder) == ExitCode.COMPLETE
    stored_files = [path for path in (root / "mlartifacts").rglob("*") if path.is_file()]
    assert {path.name for path in stored_files} == {"job.yaml", "config.yaml"}
    assert not any(b"hunter2" in path.read_bytes() for path in stored_files)


def test_the_mirror_s_own_files_are_never_links_that_it_follows(root: Path) -> None:
    folder, other = whole_job(root), root / "other"
    other.write_text("of the user")
    (folder / "tracking.jsonl").symlink_to(other)
    assert mirror(folder) == ExitCode.COMPLETE
    assert other.read_text() == "of the user"
    (folder / "tracking.log").symlink_to(other)
    with pytest.raises(InputError, match="must be a plain file"):
        start_mirror(folder, None, os.getpid())
    (folder / "tracking.lock").unlink(missing_ok=True)
    (folder / "tracking.lock").symlink_to(other)
    assert "must be a plain file" in (mirror_once(folder, None).error or "")
    assert other.read_text() == "of the user"


def test_hostile_names_and_long_values_are_stored(root: Path) -> None:
    arms = ["..", "a/../b", "/", "größe/日本", "quo'te\"`%", "x" * 300, "-"]
    long = {f"option {number}": "é" * 7_000 for number in range(120)}
    job = WrittenJob(root / "vowels", more={**long, "": 1, "a": 1, "a/b": [1, {}]})
    for arm in arms:
        job.trial(f"search/{arm}/0")
        job.report(f"search/{arm}/0", 1, 2)
        job.end(f"search/{arm}/0", "complete", reason="r" * 20_000)
    assert mirror(job.folder) == ExitCode.COMPLETE
    runs = stored(root)
    assert len(runs) == len(arms) + 1
    for arm in arms:
        run = runs[f"search/{arm}/0"]
        assert run["tags"]["arm"] == arm
        assert len(run["tags"]["reason"]) == 2_000
        assert len(curve(run, "accuracy")) == 2
    assert len(runs["job"]["params"]) >= 123
    assert len(runs["job"]["params"]["option 7"]) == 6_000
    bests = {name for name, *_ in runs["job"]["points"] if name.startswith("best_accuracy")}
    assert len(bests) == len(arms)


def test_curve_of_any_length_is_sent_completely(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    job.report("search/rnn/0", 1, 1_500)
    job.end("search/rnn/0")
    assert mirror(job.folder) == ExitCode.COMPLETE
    run = stored(root)["search/rnn/0"]
    assert [step for step, _ in curve(run, "accuracy")] == list(range(1, 1_501))
    assert len(run["points"]) == 5 * 1_500 + 5


def test_value_that_mlflow_refuses_holds_up_nothing_else(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0", seed=-1, time=-5)  # no run may start before 1970
    job.report("search/rnn/0", 1, 1)
    job.trial("search/rnn/1")
    job.report("search/rnn/1", 1, 2)
    assert mirror(job.folder) == ExitCode.BEHIND
    assert len(curve(stored(root)["search/rnn/1"], "accuracy")) == 2
    state = mirror_state(job.folder)
    assert not state.complete
    assert state.error is not None
    assert "search/rnn/0" in state.error


def test_damaged_journal_is_sent_up_to_the_damage(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    job.trial("search/rnn/0")
    path = job.folder / "job.journal"
    whole = path.read_bytes()
    job.report("search/rnn/0", 1, 1)
    job.end("search/rnn/0")
    rest = path.read_bytes()[len(whole) :].replace(b"train_loss", b"train_lost")
    path.write_bytes(whole + rest)
    assert mirror(job.folder) == ExitCode.BEHIND
    assert "damaged" in (mirror_state(job.folder).error or "")
    assert stored(root)["search/rnn/0"]["status"] == "KILLED"


def test_results_find_the_run_ids(root: Path) -> None:
    folder = whole_job(root)
    assert run_ids(folder) == {}
    mirror(folder)
    state = mirror_state(folder)
    assert run_ids(folder) == {key: run["run_id"] for key, run in stored(root).items()}
    assert (state.complete, state.error) == (True, None)
    assert state.server == uri(root)


def test_a_new_trial_costs_three_requests_and_a_long_curve_one_for_900_points(root: Path) -> None:
    job = WrittenJob(root / "vowels")
    mirror(job.folder)
    for number, epochs in enumerate((3, 3, 300)):
        job.trial(f"search/rnn/{number}")
        job.report(f"search/rnn/{number}", 1, epochs)
        job.end(f"search/rnn/{number}")
    requests = Requests()
    mirror(job.folder, requests.open_client)
    made = Counter(requests.names)
    assert (made["create_run"], made["set_terminated"], made["log_inputs"]) == (3, 3, 0)
    assert made["log_batch"] == 1 + 1 + 2 + 1  # 1,500 points are two, and the job has some of all
