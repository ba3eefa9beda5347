"""An HTTP server that hands requests on to another one, and fails as servers do."""

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

#: well: everything is handed on. dead: connections are closed at once. errors: every third request,
#: at random, is answered with 500, half of them after it has been handed on. hanging: no answer.
#: no-agent: jobs are answered as by a head of Ray's that has just begun.
Fault = Literal["well", "dead", "errors", "hanging", "no-agent"]
_NO_AGENT = b"No available agent to submit job, please try again later."
_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class FaultyServer(ThreadingHTTPServer):
    """Forwards to a server on this machine; `fault` may be changed at any time."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.fault: Fault = "well"
        self.requests = 0
        self.failed = 0  #: requests that a fault has met
        self.draw = random.Random(0)

    @property
    def uri(self) -> str:
        """The address to send to."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server = self.server
        server.requests += 1
        lost = server.draw.random() if server.fault == "errors" else 1.0
        server.failed += server.fault in ("dead", "hanging") or lost < 1 / 3
        while server.fault == "hanging":
            time.sleep(0.05)
        if server.fault == "dead":
            self.close_connection = True
            return
        if server.fault == "no-agent" and self.command == "POST" and self.path == "/api/jobs/":
            self._answer(500, _NO_AGENT, {})
            return
        if lost < 1 / 6:
            self._answer(500, b"{}", {})
            return
        try:
            status, content, headers = self._ask(body)
        except (OSError, http.client.HTTPException):  # the server behind is dead itself
            self.close_connection = True
            return
        if lost < 1 / 3:
            self._answer(500, b"{}", {})
        else:
            self._answer(status, content, headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Return status, content and headers of the answer of the server behind."""
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=120)
        with contextlib.closing(behind):
            sent = {name: text for name, text in self.headers.items() if name.lower() not in _HOP}
            behind.request(self.command, self.path, body, sent)
            answer = behind.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, text in headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, text)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def faulty(port: int) -> Iterator[FaultyServer]:
    """A faulty server before the one at a port."""
    with FaultyServer(port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.fault = "well"
            server.shutdown()
            thread.join()
