"""What came from a file, a journal or a cluster commands no terminal, whatever prints it."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text
from written_jobs import WrittenJob

from search.cli.terminal import Terminal, print_message, print_text

GATESEARCH = Path(sys.executable).parent / "gatesearch"
HOSTILE = "a\x1b]0;title\x1b\\b\x1b[2Jc\u202ed\x9b1me"
SHOWN = r"a\x1b]0;title\x1b\b\x1b[2Jc\u202ed\x9b1me"
OWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what rich itself writes


def table(text: str) -> Table:
    found = Table(title=text, caption=text)
    found.add_column(text)
    found.add_column("next")
    found.add_row(Text(text), "x")
    return found


@pytest.mark.parametrize("live", [False, True])
def test_a_terminal_shows_commands_as_escapes_in_every_part_of_a_table(live: bool) -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    if live:
        with Live(table(HOSTILE), console=terminal, auto_refresh=False):
            pass
    else:
        terminal.print(table(HOSTILE))
    written = OWN.sub("", file.getvalue())
    assert not set("\x1b\x07\u202e\x9b") & set(written)
    assert written.count(SHOWN) >= 2 and written.count(SHOWN[:10]) >= 4
    rows = [line for line in written.splitlines() if line.startswith(("│", "┃"))]
    assert len({len(line.rstrip()) for line in rows}) == 1  # columns stand below each other


def test_plain_texts_and_messages_are_cleaned_too(capsys: pytest.CaptureFixture[str]) -> None:
    print_text(HOSTILE)
    print_text(HOSTILE, error=True)
    print_message(HOSTILE)
    printed = capsys.readouterr()
    assert printed.out == f"{SHOWN}\n"
    assert printed.err == f"{SHOWN}\n" * 2


def on_a_terminal(*words: str, folder: Path) -> str:
    """Run a command whose outputs are a terminal; return what the terminal got."""
    ours, theirs = os.openpty()
    command = [str(GATESEARCH), *words]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder
    ) as process:
        os.close(theirs)
        got = b""
        try:
            while part := os.read(ours, 2**16):
                got += part
        except OSError:  # the other end was closed
            pass
        finally:
            os.close(ours)
        process.wait()
    return got.decode()


@pytest.mark.parametrize("command", ["results", "compare"])
def test_a_journal_commands_no_terminal(command: str, tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "runs" / "vowels")
    for number in range(2):
        job.trial(f"search/lstm/{number}", config={})
        job.end(f"search/lstm/{number}", "failed", reason=f"\x1b[36mray\x1b[39m::{HOSTILE}")
    got = on_a_terminal(command, "vowels", folder=tmp_path)
    written = OWN.sub("", got.replace("\r\n", "\n"))
    assert not set("\x1b\x07\u202e\x9b\r") & set(written)
    assert (r"\x1b]" in got) is (command == "results")


def test_a_refusal_commands_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        'name: "a\\e[31m"\ntask: {name: "\\e]0;x\\a"}\narms: ["\\u202e"]\n"\\e[2J": 1\n'
    )
    got = on_a_terminal("validate", "job.yaml", folder=tmp_path)
    assert not set("\x1b\x07\u202e") & set(OWN.sub("", got))
    assert got.count("remedy") >= 2
