"""A door before an S3 server that answers 500 for as long as a test wants."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_SAID = b"<Error><Code>InternalError</Code><Message>on purpose</Message></Error>"
_OF_ONE_HOP = ("connection", "transfer-encoding", "expect", "keep-alive")


@dataclass
class FailingStore:
    """The door: where it is, and whether it lets requests through."""

    endpoint: str = ""
    failing: bool = False
    refused: int = 0  #: requests that were answered 500


@contextlib.contextmanager
def before(endpoint: str) -> Iterator[FailingStore]:
    """Give a door before the server at an endpoint."""
    server = urlsplit(endpoint).netloc
    store = FailingStore()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if store.failing:
                store.refused += 1
                self._answer(500, {"Content-Type": "application/xml"}, _SAID)
                return
            # The host stays: it is part of what was signed.
            sent = {k: v for k, v in self.headers.items() if k.lower() not in _OF_ONE_HOP}
            with contextlib.closing(http.client.HTTPConnection(server, timeout=60)) as there:
                there.request(self.command, self.path, body, sent)
                answer = there.getresponse()
                content = answer.read()
            told = {k: v for k, v in answer.getheaders() if k.lower() not in _OF_ONE_HOP}
            self._answer(answer.status, told, content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            if self.command != "HEAD" and status != 204:
                headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as door:
        door.daemon_threads = True
        store.endpoint = f"http://127.0.0.1:{door.server_port}"
        thread = threading.Thread(target=door.serve_forever)
        thread.start()
        try:
            yield store
        finally:
            door.shutdown()
            thread.join()
