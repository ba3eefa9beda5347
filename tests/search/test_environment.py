"""What the environment may say and what not; every variable has its row in the list."""

import ast
import os
import re
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from server_process import free_ports

from search import environment
from search.environment import VARIABLES, Use, prepare, restore_warnings
from search.run import ray_settings
from search.tracking import mlflow_compat
from spaces.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
DROPPED = [variable.name for variable in VARIABLES if variable.use is Use.DROPPED]


@pytest.mark.parametrize(
    "address",
    [
        "ray://127.0.0.1:10001",
        "redis://127.0.0.1:6379",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:6379/x",
        "127.0.0.1:6379, 127.0.0.1:6380",
        "no host:6379",
        "no-such-host.invalid:6379",
        "[::1:6379",
        "127.0.0.1:{free}",
        "localhost:{free}",
        "[::1]:{free}",
    ],
)
def test_an_address_that_is_no_cluster_s_is_refused_with_its_value(address: str) -> None:
    (free,) = free_ports(1)
    address = address.format(free=free)
    with pytest.raises(InputError) as refused:
        list(prepare({"RAY_ADDRESS": address}))
    (problem,) = refused.value.problems
    assert problem.place == "RAY_ADDRESS"
    assert address in problem.rule
    assert "unset it" in problem.remedy


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "HTTPS://ray.example/x"])
def test_an_address_of_the_jobs_api_is_none_of_a_run_s_and_is_told(address: str) -> None:
    environ = {"RAY_ADDRESS": address}
    (note,) = prepare(environ)
    assert address in note
    assert environ == {}


@pytest.mark.parametrize("address", ["", " ", "local"])
def test_no_address_is_this_machine(address: str) -> None:
    environ = {"RAY_ADDRESS": address}
    assert list(prepare(environ)) == []
    assert environ == {}


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of something that accepts a connection and answers."""

    def serve() -> None:
        connection, _ = listening.accept()
        connection.sendall(answer)
        connection.recv(100)
        done.wait(60)
        connection.close()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        done.set()
        thread.join()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b""])
def test_a_service_that_is_no_head_is_refused(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would wait for it for many minutes."""
    monkeypatch.setattr(environment, "CONNECT_SECONDS", 0.5)
    with answering(answer) as address, pytest.raises(InputError, match=address):
        list(prepare({"RAY_ADDRESS": address}))


def test_what_would_change_a_ray_of_the_job_s_own_is_dropped() -> None:
    environ = dict.fromkeys(DROPPED, "x") | {"HOME": "/home/me"}
    list(prepare(environ))
    assert environ == {"HOME": "/home/me"}


def test_a_cluster_s_settings_stay_but_for_what_tune_refuses() -> None:
    with answering(b"\0\0\6\4\0\0\0\0\0\0\5\0\0@\0") as head:
        environ = dict.fromkeys(DROPPED, "x") | {"RAY_ADDRESS": head}
        del environ["RAY_USE_TLS"]
        list(prepare(environ))
    gone = {"TUNE_RESULT_DIR", "RAY_AIR_LOCAL_CACHE_DIR"}
    assert set(DROPPED) - set(environ) == gone | {"RAY_USE_TLS"}
    assert environ["RAY_ADDRESS"] == head


def test_warnings_are_python_s_own_whatever_the_environment_says() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        environ = {"PYTHONWARNINGS": "error"}
        restore_warnings(environ)
        assert environ == {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("a library's", DeprecationWarning, stacklevel=1)
            warnings.warn("somebody's", UserWarning, stacklevel=1)
        assert [warning.category for warning in caught] == [UserWarning]


def test_stripped_docstrings_are_refused_with_the_variable_s_name(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("{name: a, task: {name: japanese-vowels}, arms: [rnn]}")
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from search.cli import main; main()", "run", "job.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONOPTIMIZE": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("PYTHONOPTIMIZE: ")
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_every_variable_that_is_read_or_set_has_a_row() -> None:
    used = {*ray_settings.SETTINGS, *mlflow_compat.SERVER_ENVIRONMENT} | set(read_in_sources())
    assert {"GATESEARCH_CACHE", "RAY_AUTH_TOKEN", "CC"} <= used
    unlisted = [name for name in sorted(used) if not re.fullmatch(NAMES, name)]
    assert unlisted == []


#: Matches the names of the list.
NAMES = "|".join(
    name.strip().replace("*", ".*") for variable in VARIABLES for name in variable.name.split(",")
)


def read_in_sources() -> Iterator[str]:
    """Yield the names that our sources read by os.environ["X"], environ.get("X") or pop("X")."""
    for package in ("spaces", "trainables", "search", "deploy"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Subscript(value=found, slice=ast.Constant(value=str(name))):
                        pass
                    case ast.Call(
                        func=ast.Attribute(value=found), args=[ast.Constant(value=str(name)), *_]
                    ):
                        pass
                    case _:
                        continue
                if ast.unparse(found).endswith("environ"):
                    yield name


def test_the_readme_shows_the_list() -> None:
    shown = (ROOT / "search" / "README.md").read_text()
    rows = [
        f"| `{variable.name}` | {variable.reader} | {variable.use} | {variable.effect} |"
        for variable in environment.VARIABLES
    ]
    assert [row for row in rows if row not in shown] == []
