"""The live page as a program sees it: its HTTP, and its events as they come."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
