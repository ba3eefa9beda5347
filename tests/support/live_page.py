"""The live page as a program sees it: its HTTP, and its events as they come."""

import http.client
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from installed import GATESEARCH
from server_process import end_with_parent

from search.watch.serve import Listening, serving
from search.watch.server import Site

TOKEN = "0123456789abcdef-token"
SECONDS = 120  # a bound that only a hang reaches


@contextmanager
def served(
    folder: Path,
    host: str = "127.0.0.1",
    allowed: Sequence[str] = (),
    port: int = 0,
    **more: Any,
) -> Iterator[Site]:
    """Serve the live page of a job's folder from this process."""
    with serving(folder, Listening(host, port, TOKEN, allowed), **more) as site:
        yield site


@contextmanager
def watching(
    name: str, *options: str, folder: Path, env: dict[str, str] | None = None
) -> Iterator[tuple[int, str, list[str]]]:
    """Run the command that watches a job; give port and token of its page, and what it has said."""
    fixed = ["--port", "0", "--page-token-file", "page.token"]
    process = subprocess.Popen(
        [GATESEARCH, "watch", name, *fixed, *options],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent(signal.SIGKILL),
    )
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", line):
                yield int(found[1]), found[2], said
                break
        else:
            raise AssertionError(f"no page is told: {''.join(said)}")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def asked(
    port: int, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of an answer; a header that is given replaces its default."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        sent = {"Host": f"127.0.0.1:{port}", **(headers or {})}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, text in sent.items():
            connection.putheader(name, text)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.headers.items()), answer.read().decode()
    finally:
        connection.close()


class Events:
    """What a page knows: the items of the server's events, and what was sent for them."""

    def __init__(self, port: int, headers: dict[str, str] | None = None) -> None:
        self.items: dict[str, Any] = {}
        self.last = ""  #: the latest event's id
        self.messages: list[dict[str, Any]] = []
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        lines = ["GET /events HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._socket.makefile("r", encoding="utf-8", newline="\n") as stream:
            try:
                for line in stream:
                    if line.startswith("id: "):
                        self.last = line[4:].strip()
                    elif line.startswith("data: "):
                        self._take(json.loads(line[6:]))
            except (OSError, ValueError):
                return  # closed

    def _take(self, message: dict[str, Any]) -> None:
        if message["all"]:
            self.items = {}
        for name in message["gone"]:
            self.items.pop(name, None)
        self.items = {**self.items, **message["set"]}
        self.messages.append(message)

    def wait(
        self, holds: Callable[[dict[str, Any]], Any], what: str, seconds: float = SECONDS
    ) -> Any:
        """Wait until something holds of the items, and return it."""
        until = time.monotonic() + seconds
        while not (found := holds(self.items)):
            assert time.monotonic() < until, f"never: {what}; {self.items.keys()}"
            time.sleep(0.02)
        return found

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
