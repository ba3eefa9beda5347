"""What the mirror tells MLflow, with a real SQLite store (as a process: test_tracking_process)."""

import math
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from told_jobs import Told, comparable, curve, database

from search.tracking import follower
from search.tracking.follower import Follower, check_uri
from search.tracking.runs import LONGEST_NAME, Run, clean_name, clean_params
from search.tracking.server import DATABASE, RefusedError, Server, environment
from search.tracking.state import Notes, mirror_state, run_ids
from spaces.config import completed
from spaces.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*")


def uri(root: Path) -> str:
    return f"sqlite:///{root / DATABASE}"


def tell(folder: Path, *, alive: Callable[[], bool] | None = None) -> int:
    """Mirror what a journal holds, once, in this process."""
    with environment():
        return Follower(folder, uri(folder.parent), None, alive, 0.0).run()


def stored(root: Path) -> dict[str, Any]:
    """The one run of each key."""
    found = database(root / DATABASE)
    assert all(len(runs) == 1 for runs in found.values())
    return {key: runs[0] for key, runs in found.items()}


def whole_job(root: Path, name: str = "vowels") -> Path:
    told = Told(root / name)
    told.whole()
    return told.folder


def client(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri(root))


def test_every_trial_is_one_run_below_the_job_s_run(root: Path) -> None:
    assert tell(whole_job(root)) == 0
    runs = stored(root)
    job = runs.pop("job")
    assert len(runs) == 9
    assert {run["tags"]["mlflow.parentRunId"] for run in runs.values()} == {job["run_id"]}
    assert {run["experiment"] for run in runs.values()} == {job["experiment"]}
    assert client(root).get_experiment(str(job["experiment"])).name == "gatesearch/vowels"
    assert "mlflow.parentRunId" not in job["tags"]


def test_run_shows_its_trial(root: Path) -> None:
    tell(whole_job(root))
    run = stored(root)["search/lstm/0"]
    assert run["name"] == "lstm-0"
    told = {"cell": "lstm", "gates": "standard", "depth": 2, "learning_rate": 0.001}
    # What an earlier version did not tell has its default.
    everything = {**completed(told), "arm": "lstm", "number": 0, "seed": 7}
    assert run["params"] == {name: str(value).lower() for name, value in everything.items()}
    tags = ("arm", "cell", "gates", "phase", "control", "generation", "state")
    shown = [run["tags"][tag] for tag in tags]
    assert shown == ["lstm", "lstm", "standard", "search", "false", "1", "complete"]
    assert [step for step, _ in curve(run, "accuracy")] == [1, 2, 3, 4, 5, 6]
    assert curve(run, "train_loss") == [(epoch, 2 / epoch) for epoch in range(1, 7)]
    assert curve(run, "loss") == [(epoch, 1 / epoch) for epoch in range(1, 7)]
    assert len(curve(run, "seconds")) == 6
    assert curve(run, "best_accuracy") == [(0, max(v for _, v in curve(run, "accuracy")))]
    assert curve(run, "parameters") == [(0, 1234)]
    assert run["data"] == [("japanese-vowels", "0123456789ab")]
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
def test_status_follows_from_the_state(root: Path, key: str, status: str, state: str) -> None:
    tell(whole_job(root))
    run = stored(root)[key]
    assert (run["status"], run["tags"]["state"]) == (status, state)


def test_reason_of_a_failure_is_a_tag(root: Path) -> None:
    tell(whole_job(root))
    runs = stored(root)
    assert runs["search/lstm/2"]["tags"]["reason"] == "out of memory"
    assert "reason" not in runs["search/lstm/1"]["tags"]


def test_job_s_run_sums_up_arms_and_replicates(root: Path) -> None:
    tell(whole_job(root))
    runs = stored(root)
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
    replicate = runs["confirm/rnn/1"]
    assert curve(replicate, "test_accuracy") == [(0, 0.94)]
    assert (replicate["params"]["finalist"], replicate["params"]["replicate"]) == ("0", "1")


def test_report_and_best_configuration_are_stored_with_the_job(root: Path) -> None:
    folder = whole_job(root)
    tell(folder)
    job = stored(root)["job"]
    files = list((root / "mlartifacts" / "vowels" / job["run_id"]).rglob("*.*"))
    assert {path.name for path in files} == {"job.yaml", "report.html", "config.yaml"}
    (folder / "report.html").write_text("<h1>Another</h1>")
    tell(folder)
    report = next(path for path in files if path.name == "report.html")
    assert report.read_text() == "<h1>Another</h1>"


def test_telling_again_changes_nothing_and_costs_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole_job(root)
    tell(folder)
    before = database(root / DATABASE)
    requests = _count_requests(monkeypatch)
    assert tell(folder) == 0
    assert database(root / DATABASE) == before
    assert requests["log_batch"] == requests["create_run"] == requests["set_terminated"] == 0


def test_points_that_wait_for_a_run_go_in_one_request(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = whole_job(root)
    requests = _count_requests(monkeypatch)
    tell(folder)
    assert requests["create_run"] == requests["log_batch"] == requests["set_terminated"] == 10


def _count_requests(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    from mlflow import MlflowClient

    counts = {"create_run": 0, "log_batch": 0, "set_terminated": 0}
    for name in counts:
        method = getattr(MlflowClient, name)

        def counted(*given: Any, _name: str = name, _method: Any = method, **named: Any) -> Any:
            counts[_name] += 1
            return _method(*given, **named)

        monkeypatch.setattr(MlflowClient, name, counted)
    return counts


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the mirror's may see it."""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_mirror_that_dies_at_any_request_leaves_nothing_lost_or_doubled(
    tmp_path: Path, schema: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    ask = Server._ask
    left = [10**9]

    def asked(self: Server, request: Callable[[], Any], *rest: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            raise Killed
        answer = ask(self, request, *rest)
        if left[0] == 0:
            raise Killed
        return answer

    monkeypatch.setattr(Server, "_ask", asked)

    def job(name: str) -> Path:
        (tmp_path / name).mkdir()
        shutil.copy(schema, tmp_path / name / DATABASE)
        told = Told(tmp_path / name / "vowels")
        told.trial("search/rnn/0")
        told.report("search/rnn/0", 1, 3)
        told.end("search/rnn/0")
        told.trial("search/rnn/1")
        told.finish()
        return told.folder

    undisturbed = job("undisturbed")
    tell(undisturbed)
    requests = 10**9 - left[0]
    expected = comparable(database(undisturbed.parent / DATABASE))
    for deadly in range(1, requests + 1):
        folder = job(str(deadly))
        left[0] = deadly
        with pytest.raises(Killed):
            tell(folder)
        left[0] = 10**9
        assert tell(folder) == 0
        assert comparable(database(folder.parent / DATABASE)) == expected


def test_run_created_by_a_request_that_seemed_lost_is_not_left_over(root: Path) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0")
    told.report("search/rnn/0", 1, 2)
    tell(told.folder)
    run = stored(root)["search/rnn/0"]
    client(root).create_run(str(run["experiment"]), tags=run["tags"])
    assert len(database(root / DATABASE)["search/rnn/0"]) == 2
    told.end("search/rnn/0")
    tell(told.folder)
    assert stored(root)["search/rnn/0"]["run_id"] == run["run_id"]


def test_deleted_run_is_told_again(root: Path) -> None:
    folder = whole_job(root)
    tell(folder)
    before = comparable(database(root / DATABASE))
    client(root).delete_run(stored(root)["search/lstm/0"]["run_id"])
    assert tell(folder) == 0
    assert comparable(database(root / DATABASE)) == before


def test_run_deleted_under_the_mirror_s_hands_is_told_again(root: Path) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0")
    told.report("search/rnn/0", 1, 2)
    lives = [True, True, True, False, False, False]

    def alive() -> bool:
        if len(lives) == 6:
            pass
        elif len(lives) == 5:  # the mirror has told all that there was, and sleeps
            client(root).delete_run(stored(root)["search/rnn/0"]["run_id"])
            told.report("search/rnn/0", 3, 4)
        return lives.pop(0) if lives else False

    with environment():
        assert Follower(told.folder, uri(root), os.getpid(), alive, 60.0).run() == 0
    assert len(curve(stored(root)["search/rnn/0"], "accuracy")) == 4


def test_deleted_experiment_is_taken_back(root: Path) -> None:
    folder = whole_job(root)
    tell(folder)
    before = database(root / DATABASE)
    client(root).delete_experiment(str(stored(root)["job"]["experiment"]))
    assert tell(folder) == 0
    assert database(root / DATABASE) == before


def test_interrupted_trial_is_killed_and_runs_again_after_a_resume(root: Path) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0")
    told.report("search/rnn/0", 1, 2)
    tell(told.folder)
    runs = stored(root)
    for key in ("job", "search/rnn/0"):
        assert (runs[key]["status"], runs[key]["tags"]["state"]) == ("KILLED", "interrupted")

    told.driver(os.getpid(), socket.gethostname())
    tell(told.folder)
    runs = stored(root)
    for key in ("job", "search/rnn/0"):
        assert (runs[key]["status"], runs[key]["tags"]["state"]) == ("RUNNING", "running")
        assert runs[key]["tags"]["generation"] == "2"

    told.report("search/rnn/0", 2, 3)  # the second epoch again, from an older checkpoint
    told.end("search/rnn/0")
    told.finish()
    tell(told.folder)
    runs = stored(root)
    assert (runs["job"]["status"], runs["search/rnn/0"]["status"]) == ("FINISHED", "FINISHED")
    assert [step for step, _ in curve(runs["search/rnn/0"], "accuracy")] == [1, 2, 3]


def test_extended_job_goes_on_in_the_same_runs(root: Path) -> None:
    told = Told(root / "vowels")
    told.whole()
    tell(told.folder)
    before = {key: run["run_id"] for key, run in stored(root).items()}
    told.driver()
    told.write({"record": "extend", "trials": 1, "seeds": 0, "time": told.tick()})
    told.trial("search/rnn/2")
    told.report("search/rnn/2", 1, 6)
    told.end("search/rnn/2")
    told.finish()
    tell(told.folder)
    runs = stored(root)
    assert {key: runs[key]["run_id"] for key in before} == before
    assert runs.keys() - before.keys() == {"search/rnn/2"}
    assert (runs["job"]["status"], runs["job"]["tags"]["added_trials"]) == ("FINISHED", "1")


def test_two_jobs_of_one_name_share_an_experiment_and_no_run(tmp_path: Path, root: Path) -> None:
    first = Told(root / "vowels")
    first.whole()
    second = Told(root / "elsewhere", pid=2)
    second.whole()
    tell(first.folder)
    tell(second.folder)
    found = database(root / DATABASE)
    assert {len(runs) for runs in found.values()} == {2}
    assert len({run["experiment"] for runs in found.values() for run in runs}) == 1
    assert not set(run_ids(first.folder).values()) & set(run_ids(second.folder).values())


def test_hostile_names_and_long_values_are_stored(root: Path) -> None:
    told = Told(root / "vowels")
    arms = ["..", "a/../b", "/", "größe/日本", "quo'te\"`%", "x" * 300, "-"]
    long = {f"option {number}": "é" * 7_000 for number in range(120)}
    for arm in arms:
        told.trial(f"search/{arm}/0", config={"cell": arm, **long, "": 1, "a": 1, "a/b": [1, {}]})
        told.report(f"search/{arm}/0", 1, 2)
        told.end(f"search/{arm}/0", "complete", reason="r" * 20_000)
    assert tell(told.folder) == 0
    runs = stored(root)
    assert len(runs) == len(arms) + 1
    for arm in arms:
        run = runs[f"search/{arm}/0"]
        assert run["tags"]["arm"] == arm
        assert len(run["params"]) >= 125
        assert len(run["params"]["option 7"]) == 6_000
        assert len(curve(run, "accuracy")) == 2
    bests = {name for name, *_ in runs["job"]["points"] if name.startswith("best_accuracy")}
    assert len(bests) == len(arms)


def test_curve_of_any_length_is_told_completely(root: Path) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0")
    told.report("search/rnn/0", 1, 1_500)
    told.end("search/rnn/0")
    assert tell(told.folder) == 0
    run = stored(root)["search/rnn/0"]
    assert [step for step, _ in curve(run, "accuracy")] == list(range(1, 1_501))
    assert len(run["points"]) == 4 * 1_500 + 3


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 10**400, None, "much"])
def test_what_is_no_number_is_never_sent(value: Any) -> None:
    run = Run("key", "name", 0, {}, {})
    run.add("accuracy", value, 1, 1)
    assert run.points == []
    assert run.made == 0


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    cleaned = clean_name(name)
    _validate_metric_name(cleaned)
    assert 0 < len(cleaned) <= LONGEST_NAME
    assert clean_name(cleaned) == cleaned


@given(st.sets(st.text(max_size=8), max_size=6))
def test_different_names_stay_different(names: set[str]) -> None:
    assert len(clean_params(dict.fromkeys(names))) == len(names)


def test_value_that_mlflow_refuses_holds_up_nothing_else(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0", seed=-1, time=-5)  # no run may start before 1970
    told.report("search/rnn/0", 1, 1)
    told.trial("search/rnn/1")
    told.report("search/rnn/1", 1, 2)
    assert tell(told.folder) == 1
    assert len(curve(stored(root)["search/rnn/1"], "accuracy")) == 2
    state = mirror_state(told.folder)
    assert not state.complete
    assert state.error is not None
    assert "search/rnn/0" in state.error


def test_damaged_journal_is_told_up_to_the_damage(root: Path) -> None:
    told = Told(root / "vowels")
    told.trial("search/rnn/0")
    path = told.folder / "job.journal"
    whole = path.read_bytes()
    told.report("search/rnn/0", 1, 1)
    told.end("search/rnn/0")
    rest = path.read_bytes()[len(whole) :].replace(b"train_loss", b"train_lost")
    path.write_bytes(whole + rest)
    assert tell(told.folder) == 1
    assert "damaged" in (mirror_state(told.folder).error or "")
    assert stored(root)["search/rnn/0"]["status"] == "KILLED"


def test_results_find_the_run_ids(root: Path) -> None:
    folder = whole_job(root)
    assert run_ids(folder) == {}
    tell(folder)
    state = mirror_state(folder)
    assert run_ids(folder) == {key: run["run_id"] for key, run in stored(root).items()}
    assert (state.complete, state.error) == (True, None)
    assert state.server == uri(root)


def test_notes_survive_a_torn_line_and_another_server(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    notes.server("http://one", "1")
    notes.run("search/rnn/0", "aaa")
    notes.error("away")
    path = tmp_path / "tracking.jsonl"
    path.write_bytes(path.read_bytes()[:-9] + b"\xff")
    assert run_ids(tmp_path) == {"search/rnn/0": "aaa"}
    notes = Notes(tmp_path)
    notes.run("search/rnn/1", "bbb")
    assert run_ids(tmp_path) == {"search/rnn/0": "aaa", "search/rnn/1": "bbb"}
    notes.server("http://two", "1")
    assert run_ids(tmp_path) == {}
    path.write_text('[]\n"x"\n{"key": 1, "run_id": 2}\n{"key": "k", "run_id": "ccc"}\n')
    assert run_ids(tmp_path) == {"k": "ccc"}


@pytest.mark.parametrize(
    "address",
    [
        "http://me:secret@host:5000",
        "https://secret@host",
        "https://host/?token=secret",
        "https://host/?%74oken=secret",
        "http://host:port",
        "ftp://host/x",
        "file:///etc",
        "http://",
        "nonsense",
        "postgresql://me:secret@host/db",
    ],
)
def test_unfit_address_is_refused_without_repeating_a_password(address: str) -> None:
    with pytest.raises(InputError) as refused:
        check_uri(address)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "address", [None, "http://host:5000", "https://host/mlflow", uri(Path("/"))]
)
def test_fit_address_is_taken(address: str | None) -> None:
    check_uri(address)


@pytest.mark.parametrize("place", ["file:///etc", "/etc", "./mlruns"])
def test_server_s_own_paths_are_never_written_to_from_here(tmp_path: Path, place: str) -> None:
    server = Server("http://host", tmp_path, Notes(tmp_path))
    with pytest.raises(RefusedError):
        server._check_artifacts(place)
    local = Server(uri(tmp_path), tmp_path, Notes(tmp_path))
    with pytest.raises(RefusedError):
        local._check_artifacts("file:///etc/x")


def test_mirror_without_a_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no job"):
        follower.mirror(tmp_path, None)
