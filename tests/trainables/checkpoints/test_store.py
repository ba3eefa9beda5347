"""Claims about the stores of checkpoints: one table, each claim for every one of them."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from server_process import free_ports
from servers import S3
from tcp_link import linked

from spaces.errors import InputError
from spaces.fields import Fault
from trainables.checkpoints.base import CheckpointError, Store, StoreAwayError, StoreError
from trainables.checkpoints.local import LocalStore
from trainables.checkpoints.open import open_store
from trainables.checkpoints.s3 import MANIFEST, S3Store
from trainables.patience import waits

A, B, C, X, Y = (f"search-{arm}-0-g1-e9" for arm in "abcxy")  # names of checkpoints


@dataclass
class StoreCase:
    """A store, and ways to damage what is in it."""

    place: str
    damage: Callable[[str], None]  #: change a file of a checkpoint
    lose: Callable[[str], None]  #: lose a file of a checkpoint
    everything: Callable[[], list[str]]  #: paths or keys of all that is stored

    @property
    def store(self) -> Store:
        return open_store(self.place)


def local(folder: Path) -> StoreCase:
    folder.mkdir()

    def everything() -> list[str]:
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    return StoreCase(
        str(folder),
        # The files of a folder are guarded by what is in them: test_format.py
        damage=lambda name: (folder / name).rename(folder / f".{name}"),
        lose=lambda name: (folder / name).rename(folder / f".{name}"),
        everything=everything,
    )


def bucket(server: S3) -> StoreCase:
    name, client = server.bucket(), server.client()

    def file_of(checkpoint: str) -> str:
        below = f"some/prefix/{checkpoint}/"
        return next(k for k in server.keys(name) if k.startswith(below) and MANIFEST not in k)

    return StoreCase(
        f"s3://{name}/some/prefix",
        damage=lambda c: client.put_object(Bucket=name, Key=file_of(c), Body=b"other"),
        lose=lambda c: client.delete_object(Bucket=name, Key=file_of(c)),
        everything=lambda: server.keys(name),
    )


@pytest.fixture(params=["local", "s3"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCase:
    """An empty store."""
    if request.param == "local":
        return local(tmp_path / "checkpoints")
    return bucket(request.getfixturevalue("s3"))


def write(store: Store, name: str, **files: bytes) -> None:
    with store.writing(name) as folder:
        assert list(folder.iterdir()) == []
        for file, content in files.items():
            (folder / file).write_bytes(content)


def read(store: Store, name: str) -> dict[str, bytes]:
    with store.reading(name) as folder:
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(case: StoreCase) -> None:
    big = os.urandom(3_000_000)
    write(case.store, "search-lstm-3-g1-e9", tensors=big, state=b"{}", empty=b"")
    assert read(case.store, "search-lstm-3-g1-e9") == {"tensors": big, "state": b"{}", "empty": b""}
    assert case.store.names() == ["search-lstm-3-g1-e9"]


@pytest.mark.parametrize("name", ["", ".", "../x", "notes", "search-lstm-1-g1", f"{A}/x", f".{A}"])
def test_what_is_no_name_of_a_checkpoint_is_refused(case: StoreCase, name: str) -> None:
    attempts: list[Callable[[Store], object]] = [
        lambda store: write(store, name, state=b"1"),
        lambda store: read(store, name),
        lambda store: store.delete(name),
    ]
    for attempt in attempts:
        with pytest.raises(CheckpointError, match="no checkpoint can have the name"):
            attempt(case.store)
    assert case.everything() == []


def test_names_are_whole_and_no_one_s_beginning(case: StoreCase) -> None:
    for name in ("search-lstm-1-g1-e1", "search-lstm-1-g1-e10", "search-lstm-1-g10-e1"):
        write(case.store, name, state=name.encode())
    case.store.delete("search-lstm-1-g1-e1")
    assert case.store.names() == ["search-lstm-1-g1-e10", "search-lstm-1-g10-e1"]
    assert read(case.store, "search-lstm-1-g1-e10") == {"state": b"search-lstm-1-g1-e10"}


def test_what_is_not_there_is_no_checkpoint(case: StoreCase) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint confirm-"):
        read(case.store, "confirm-none-0-g1-e1")
    case.store.delete("confirm-none-0-g1-e1")
    case.store.clean(set())
    assert case.store.names() == []


def test_a_writer_that_fails_leaves_nothing(case: StoreCase) -> None:
    with pytest.raises(ZeroDivisionError), case.store.writing(A) as folder:
        (folder / "state").write_bytes(b"half")
        raise ZeroDivisionError
    assert case.store.names() == []
    assert case.everything() == []


def test_a_writer_that_fails_leaves_the_one_before(case: StoreCase) -> None:
    write(case.store, A, state=b"1")
    with pytest.raises(ZeroDivisionError), case.store.writing(A) as folder:
        (folder / "state").write_bytes(b"half")
        raise ZeroDivisionError
    assert read(case.store, A) == {"state": b"1"}


def test_one_of_the_same_name_is_replaced_whole(case: StoreCase) -> None:
    write(case.store, A, state=b"1", old=b"1")
    write(case.store, A, state=b"2", new=b"2")
    assert read(case.store, A) == {"state": b"2", "new": b"2"}
    case.store.clean({A})
    assert read(case.store, A) == {"state": b"2", "new": b"2"}
    assert len(case.everything()) == (2 if "://" not in case.place else 3)


def test_a_deleted_one_is_gone(case: StoreCase) -> None:
    write(case.store, A, state=b"1")
    write(case.store, B, state=b"2")
    case.store.delete(A)
    assert case.store.names() == [B]
    with pytest.raises(CheckpointError):
        read(case.store, A)


def test_cleaning_leaves_what_is_named_and_nothing_else(case: StoreCase) -> None:
    for name in (A, B, C):
        write(case.store, name, state=name.encode())
    case.store.clean({B, "not-there"})
    assert case.store.names() == [B]
    assert read(case.store, B) == {"state": B.encode()}
    case.store.clean(set())
    assert case.everything() == []


def test_cleaning_tells_what_goes_and_a_dry_run_tells_it_beforehand(case: StoreCase) -> None:
    for name in (A, B, C):
        write(case.store, name, state=b"x" * 100)
    before = sorted(case.everything())
    foretold = case.store.clean({B, "not-there"}, dry_run=True)
    assert sorted(case.everything()) == before
    assert case.store.clean({B, "not-there"}) == foretold
    assert (foretold.removed, foretold.kept) == (2, 1)
    assert foretold.removed_bytes == 2 * foretold.kept_bytes
    assert foretold.kept_bytes >= 100 and ("://" in case.place or foretold.kept_bytes == 100)
    again = case.store.clean({B})
    assert (again.removed, again.removed_bytes, again.kept) == (0, 0, 1)


@pytest.mark.parametrize("what", ["damage", "lose"])
def test_half_a_checkpoint_is_none(case: StoreCase, what: str) -> None:
    write(case.store, A, state=b"content", tensors=b"content")
    getattr(case, what)(A)
    with pytest.raises(CheckpointError):
        read(case.store, A)


def test_a_killed_writer_leaves_what_the_next_cleaning_removes(case: StoreCase) -> None:
    program = (
        "import json, os, sys, signal\n"
        "from trainables.checkpoints.open import open_store\n"
        "def die(*arguments): os.kill(os.getpid(), signal.SIGKILL)\n"
        "with open_store(sys.argv[1]).writing('search-b-0-g1-e9') as folder:\n"
        "    (folder / 'state').write_bytes(b'half')\n"
        "    if '://' not in sys.argv[1]: die()\n"
        "    json.dumps = die\n"  # in S3: after the files, when the manifest is made
    )
    write(case.store, A, state=b"1")
    before = sorted(case.everything())
    done = subprocess.run([sys.executable, "-c", program, case.place], check=False)
    assert done.returncode == -9
    assert sorted(case.everything()) != before
    assert case.store.names() == [A]
    with pytest.raises(CheckpointError):
        read(case.store, B)
    case.store.clean({A, B} if "://" in case.place else {A})
    assert sorted(case.everything()) == before


def test_a_store_that_is_not_on_this_node_is_never_made_here(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "elsewhere" / "checkpoints")
    with pytest.raises(StoreError, match=r"storage: \{checkpoints: s3://"):
        write(store, A, state=b"1")
    assert list(tmp_path.iterdir()) == []
    assert store.names() == []


# S3


def test_prefixes_of_one_bucket_never_mix(s3: S3) -> None:
    name = s3.bucket()
    first, second, root = (open_store(f"s3://{name}{path}") for path in ("/jobs/a", "/jobs/ab", ""))
    write(first, X, state=b"1")
    write(second, X, state=b"2")
    first.clean(set())
    assert (first.names(), second.names(), root.names()) == ([], [X], [])
    write(root, Y, state=b"3")
    assert read(root, Y) == {"state": b"3"}


def test_objects_that_are_no_checkpoints_stay(s3: S3) -> None:
    name, client = s3.bucket(), s3.client()
    store = open_store(f"s3://{name}/job")
    write(store, A, state=b"1")
    foreign = [
        "job/notes.txt",
        "job/best/config.yaml",
        f"job/{A}/notes.txt",
        f"job/x{A}/{MANIFEST}",
    ]
    for key in foreign:
        client.put_object(Bucket=name, Key=key, Body=b"{}")
    store.delete(A)
    store.clean(set())
    assert store.names() == []
    assert sorted(s3.keys(name)) == sorted(foreign)


def test_more_checkpoints_than_a_server_lists_or_deletes_at_once(s3: S3) -> None:
    name = s3.bucket()
    client = s3.client()
    for number in range(1_050):
        client.put_object(
            Bucket=name, Key=f"job/search-left-{number}-g1-e1/0123456789ab-file", Body=b""
        )
    store = open_store(f"s3://{name}/job")
    write(store, A, state=b"1")
    store.clean({A})
    assert store.names() == [A]
    assert len(s3.keys(name)) == 2


def test_errors_of_a_server_that_is_away_hold_no_credentials(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    with linked(int(s3.endpoint.rpartition(":")[2])) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{link.port}")
        place = f"s3://{s3.bucket()}/jobs"
        write(open_store(place), A, state=b"1")
        link.cut(for_good=True)
        store = S3Store(place, patience=0)
        for attempt in (
            lambda: write(store, B, state=b"2"),
            lambda: read(store, A),
            store.names,
            lambda: store.delete(A),
            lambda: store.clean(set()),
        ):
            with pytest.raises(StoreError, match="s3://bucket-") as raised:
                attempt()
            assert s3.environment["AWS_SECRET_ACCESS_KEY"] not in str(raised.value)
        link.mend()
        assert read(store, A) == {"state": b"1"}


def test_a_server_that_refuses_connections_is_waited_for(
    s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"s3://{s3.bucket()}/jobs"
    (closed,) = free_ports(1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed}")
    with pytest.raises(StoreAwayError):
        write(S3Store(place, turn=0.5), B, state=b"2")
    with linked(int(s3.endpoint.rpartition(":")[2])) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{link.port}")
        store = S3Store(place)
        write(store, A, state=b"1")
        link.cut(for_good=True)
        threading.Timer(1.0, link.mend).start()
        write(store, B, state=b"2")
        assert store.names() == [A, B]


def test_a_request_that_is_cut_is_made_again(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with linked(int(s3.endpoint.rpartition(":")[2])) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{link.port}")
        store = S3Store(f"s3://{s3.bucket()}/jobs")
        link.cut_when(b"PUT ", "after")
        write(store, A, state=b"1")
        link.cut_when(b"GET ", "before")
        assert read(store, A) == {"state": b"1"}
        assert link.cuts == 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_answers_with_faults_is_waited_for_and_the_wait_shown(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    shown: list[str] = []

    class Faulty(BaseHTTPRequestHandler):
        left = 5  # requests that fail; botocore makes two at once

        def do_PUT(self) -> None:
            shown.extend(waits())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if Faulty.left == 0 else status)
            Faulty.left = max(0, Faulty.left - 1)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Faulty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
            monkeypatch.setenv("AWS_REGION", "us-east-1")
            write(S3Store("s3://bucket/jobs"), A, state=b"1")
        finally:
            server.shutdown()
            thread.join()
    assert Faulty.left == 0
    assert re.match(r"waiting for s3://bucket/jobs: .*\(\d of 120 s\)", shown[0])


def nobody_there(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    with linked(1) as link:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{link.port}")


def reader_only(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.reader.items():
        monkeypatch.setenv(name, value)


def wrong_secret(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")


def no_credentials(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")


REFUSED = {
    "nobody listens": (nobody_there, "Could not connect", "correct AWS_ENDPOINT_URL"),
    "may only read": (reader_only, "AccessDenied", "let these credentials"),
    "wrong secret": (wrong_secret, "403", "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "no credentials": (no_credentials, "Unable to locate credentials", "set AWS_ACCESS_KEY_ID"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bucket_that_cannot_take_checkpoints_is_refused(
    s3: S3, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    prepare, rule, remedy = REFUSED[case]
    name = s3.bucket()
    prepare(s3, monkeypatch)
    (fault,) = S3Store(f"s3://{name}/jobs", patience=0).faults()
    assert rule in fault.rule
    assert remedy in fault.remedy
    assert "hunter2" not in str(fault)
    assert s3.keys(name) == []


@pytest.mark.parametrize("endpoint", ["nonsense", "http://" + "a" * 300])
def test_an_endpoint_that_is_none_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL: must be http"):
        S3Store("s3://bucket/jobs").faults()


def test_a_missing_bucket_is_refused_and_not_made(s3: S3) -> None:
    faults = S3Store("s3://no-such-bucket/jobs").faults()
    assert faults and "make the bucket" in faults[0].remedy
    made = [entry["Name"] for entry in s3.client().list_buckets()["Buckets"]]
    assert "no-such-bucket" not in made


def test_a_bucket_that_can_take_checkpoints_is_left_as_it_was(s3: S3) -> None:
    name = s3.bucket()
    assert S3Store(f"s3://{name}/jobs").faults() == list[Fault]()
    assert s3.keys(name) == []
