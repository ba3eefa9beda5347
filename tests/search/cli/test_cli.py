"""Claims about the command line that need no Ray: usage errors, names, pipes, exit codes."""

import ast
import builtins
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import search.cli
from search.cli import app
from search.cli.options import user_path
from search.journal.base import JournalError
from search.run.tune_bridge import RunError
from spaces.errors import InputError
from trainables.checkpoints.base import CheckpointError, StoreError
from trainables.export.onnx import ExportError

ROOT = Path(search.cli.__file__).resolve().parents[2]
GATESEARCH = Path(sys.executable).parent / "gatesearch"
COMMANDS = (
    *("inspect", "init"),
    *("validate", "schema", "run", "resume", "extend"),
    *("results", "compare", "report", "equal-size", "export", "clean"),
    *("predict", "tasks", "cells", "mirror", "dashboard", "judge", "claims"),
    *("up", "down", "submit", "jobs", "status", "logs", "stop", "fetch"),
    *("doctor", "queue", "watch", "study"),
)


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GATESEARCH, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["foo"],
        ["run"],
        ["run", "a", "b"],
        ["validate", "--bogus", "x"],
        ["results", "q", "--phase", "nope"],
        ["dashboard", "--port", "abc"],
        ["extend", "q", "--trials", "-1"],
        ["export", "q"],
        ["run", "missing.yaml"],
        ["resume", "nothing"],
        ["compare", "nothing"],
        ["claims", "--summarise", "--only", "nothing"],
        ["extend", "nothing"],
        ["clean", "nothing"],
        ["clean", "q", "--keep-best", "0"],
        ["extend", "nothing", "--trials", "3"],
        ["predict", "nowhere", "nothing.npz"],
        ["inspect", "nothing.csv"],
        ["init", "nothing.csv", "--out", "job.yaml"],
        ["up", "--port", "0"],
        ["queue", "serve", "--port", "65536"],
        ["queue", "--json", "user", "remove", "ann"],
        ["queue", "serve", "--database", "postgresql://me:planted@127.0.0.1:1/queue"],
        ["jobs", "--address", "nonsense"],
        ["doctor", "--address", "nonsense"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_refused_with_a_message(
    arguments: list[str], tmp_path: Path
) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert not list(tmp_path.iterdir())


def paths_of_commands() -> Iterator[tuple[str, str, Any]]:
    """Yield command, parameter and what typer knows of it, for all that are paths."""
    apps = (app.local.app, app.cluster.app, app.data.app)
    for command in (known for one in apps for known in one.registered_commands):
        assert command.callback is not None
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            if "Path" in str(hint):
                about = next(part for part in hint.__metadata__ if hasattr(part, "parser"))
                yield command.callback.__name__, name, about


def test_every_path_of_the_command_line_may_begin_with_the_home() -> None:
    """Shells leave the ~ in --root=~/runs as it is, which would be a folder called ~ here."""
    found = list(paths_of_commands())
    assert {("run", "job_file"), ("fetch", "root"), ("predict", "out")} <= {
        (command, name) for command, name, _ in found
    }
    assert [(c, name) for c, name, about in found if about.parser is not user_path] == []


def test_the_home_is_put_in_and_one_that_nobody_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path("~") == tmp_path
    assert user_path("a/~/runs") == Path("a/~/runs")
    done = call("results", "a", "--root=~no-such-user/runs", cwd=tmp_path)
    assert done.returncode == 2
    assert "no user has the home ~no-such-user" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> str:
    return call("--help", cwd=tmp_path_factory.mktemp("anywhere")).stdout


def test_the_help_lists_the_commands_in_the_order_of_use(helped: str) -> None:
    assert tuple(re.findall(r"^\W*│ ([a-z][a-z-]+) ", helped, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, tmp_path: Path) -> None:
    done = call(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"Example: gatesearch {name}" in done.stdout


@pytest.mark.parametrize(("reader", "read"), [("head -1", "[\n"), ("exec <&-", "")])
def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, reader: str, read: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {GATESEARCH} cells --json | {{ {reader}; }}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, read, "")


def test_a_folder_that_cannot_be_written_is_named_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    (tmp_path / "job.yaml").write_text("{name: a, task: {name: japanese-vowels}, arms: [rnn]}")
    done = call("run", "job.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'runs' / 'a'}: Not a directory\n"


def test_a_cluster_that_does_not_answer_is_a_failure_and_not_the_user_s_mistake(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = call("jobs", "--address", address, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert address in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError.of("job.yaml", "depth must be a number", "write one"), 2, "depth must be"),
        (JournalError("the journal is full"), 1, "the journal is full"),
        (StoreError("the store is away"), 1, "the store is away"),
        (CheckpointError("the file is damaged"), 1, "the file is damaged"),
        (ExportError("the models differ"), 1, "the models differ"),
        (RunError("no worker is left"), 1, "no worker is left"),
        (PermissionError(13, "Permission denied", "a.csv"), 1, "a.csv: Permission denied"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_exception_for_people_becomes_its_message_and_exit_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*, standalone_mode: bool) -> None:
        raise error

    monkeypatch.setattr(app, "app", fail)
    assert app.run_command() == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError("of no file")])
def test_a_fault_of_the_program_stays_an_exception(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*, standalone_mode: bool) -> None:
        raise error

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(type(error)):
        app.run_command()


#: Exceptions that are caught where their call was made and never reach a user. A private class
#: (_NameError) is caught in its own file and is not listed.
INSIDE = {"ServerError", "StillAwayError"}


def test_every_exception_that_reaches_a_user_has_the_one_root() -> None:
    builtin = {name for name, kind in vars(builtins).items() if is_exception(kind)}
    rootless = {
        node.name
        for package in ("spaces", "trainables", "search")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_")
        if {ast.unparse(base) for base in node.bases} <= builtin
    }
    assert rootless == {"GatesearchError", *INSIDE}


def is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)
