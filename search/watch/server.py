"""HTTP of the live page: static files, events, the report, and what the buttons ask for."""

import base64
import hashlib
import re
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from search.report.frame import COLOURS
from search.report.template import as_json, own
from search.watch.access import COOKIE, Access
from search.watch.board import Board
from search.watch.control import Control
from search.watch.report import Report
from spaces.errors import GatesearchError

MOST = 32  #: pages that are open at once
BEAT = 10.0  #: seconds after which a silent page is told that the server still lives
RETRY = 1_000  #: ms after which a page looks for a server that has gone
CALM = 0.25  #: seconds between two messages to one page
_PATIENCE = 30.0  # seconds that a client may take for a request, or for a piece of an answer
_PIECE = 2**16  # bytes of an answer that are sent at once
_BODY = 1_000  # bytes of a request that are read

_POLICY = (
    "default-src 'none'; {scripts}; {styles}; connect-src 'self'; img-src data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Plotly styles what it draws; nothing of a style comes from a job.
_REPORT_POLICY = (
    "default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Site(ThreadingHTTPServer):
    """The server, and what its requests need."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], family: int, board: Board, report: Report, control: Control
    ) -> None:
        """Listen. `access` is set before the first request is served. Raises OSError."""
        self.address_family = family
        self.board, self.report, self.control = board, report, control
        self.access: Access | None = None
        self._pages = 0
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        self.port = int(self.socket.getsockname()[1])

    def opened(self) -> bool:
        """Count one more open page; return False where there are too many."""
        with self._lock:
            if self._pages >= MOST:
                return False
            self._pages += 1
            self.report.want(True)
            return True

    def closed(self) -> None:
        """Count an open page less."""
        with self._lock:
            self._pages -= 1
            self.report.want(self._pages > 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that leaves in the middle of an answer is no fault."""


class _Handler(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"
    server_version = "gatesearch"
    sys_version = ""
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests may carry what nobody is to read."""

    def do_GET(self) -> None:
        """Answer with a page, its parts, the report or events."""
        if not self._is_admitted():
            return
        match urlsplit(self.path).path:
            case "/":
                page = _static("live.html")
                policy = _POLICY.format(scripts="script-src 'self'", styles="style-src 'self'")
                self._send(200, page, "text/html", {"Content-Security-Policy": policy})
            case "/live.js":
                self._send(200, _script(), "text/javascript")
            case "/live.css":
                self._send(200, _styles(), "text/css")
            case "/report":
                self._send_report()
            case "/events":
                self._send_events()
            case _:
                self._send(404, b"There is no such page.\n")

    def do_POST(self) -> None:
        """Do what a button asks for."""
        self.close_connection = True
        if not self._is_admitted(action=True):
            return
        match urlsplit(self.path).path:
            case "/login":
                cookie = f"{COOKIE}={self._access.cookie}; Path=/; HttpOnly; SameSite=Strict"
                self._send(204, b"", more={"Set-Cookie": cookie})
            case "/stop":
                self._act(self.server.control.stop)
            case "/resume":
                self._act(self.server.control.resume)
            case _:
                self._send(404, b"There is no such action.\n")

    @property
    def _access(self) -> Access:
        assert self.server.access is not None
        return self.server.access

    def _is_admitted(self, *, action: bool = False) -> bool:
        """Return whether the request may be answered; answer it where it may not."""
        headers: Any = self.headers
        length = headers.get("Content-Length") or "0"
        body = int(length) if re.fullmatch("[0-9]{1,9}", length) else _BODY + 1
        if body > _BODY or "Transfer-Encoding" in headers:
            self._refuse(413, "A request must be short.")
            return False
        if body:
            self.rfile.read(body)
        if self._access.is_foreign(headers):
            self._refuse(403, "The page must be opened under its own name; --allow adds one.")
            return False
        if self._access.may_act(headers) if action else self._access.may_read(headers):
            return True
        if action or urlsplit(self.path).path != "/":
            self._refuse(401, "The token must come with the request.")
        else:
            page, policy = _login()
            self.close_connection = True
            self._send(401, page, "text/html", {"Content-Security-Policy": policy, **_ASKS})
        return False

    def _refuse(self, status: int, text: str) -> None:
        self.close_connection = True
        more = _ASKS if status == 401 else {}
        self._send(status, f"{text}\n".encode(), more=more)

    def _act(self, action: Any) -> None:
        try:
            text, status = action(), 200
        except GatesearchError as error:
            text, status = str(error), 409
        self._send(status, as_json({"text": text}).encode(), "application/json")

    def _send_report(self) -> None:
        found = self.server.report.read()
        if found is None:
            self._send(404, b"There is no report yet.\n")
            return
        page, hashes = found
        policy = _REPORT_POLICY.format(hashes=" ".join(f"'{each}'" for each in hashes))
        self._send(200, page, "text/html", {"Content-Security-Policy": policy})

    def _send_events(self) -> None:
        """Send what is on the board, then what changes, until the page is closed."""
        if not self.server.opened():
            self._refuse(503, f"At most {MOST} pages may be open at once.")
            return
        try:
            self.close_connection = True
            self.send_response(200)
            self._send_headers({"Content-Type": "text/event-stream; charset=utf-8"})
            self._follow(self._seen())
        except OSError:
            pass  # the page was closed
        finally:
            self.server.closed()

    def _seen(self) -> int:
        """Return up to which change a page that comes back has seen this server's board."""
        name, _, number = (self.headers.get("Last-Event-ID") or "").partition("-")
        known = name == self.server.board.name and re.fullmatch("[0-9]{1,15}", number)
        return int(number) if known else 0

    def _follow(self, seen: int) -> None:
        board = self.server.board
        self.wfile.write(f"retry: {RETRY}\n\n".encode())
        while not board.ended:
            now, items, gone = board.since(seen)
            if items is None:
                seen = 0
                continue
            if items or gone or not seen:
                told = as_json({"all": seen == 0, "set": items, "gone": gone})
                self.wfile.write(f"id: {board.name}-{now}\ndata: {told}\n\n".encode())
                self.wfile.flush()
            seen = now
            if not board.wait(seen, BEAT):
                self.wfile.write(b": still here\n\n")
                self.wfile.flush()
            threading.Event().wait(CALM)

    def _send(
        self, status: int, body: bytes, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        length = {} if status == 204 else {"Content-Length": str(len(body))}
        self._send_headers({"Content-Type": f"{kind}; charset=utf-8", **length, **(more or {})})
        for start in range(0, len(body), _PIECE):
            self.wfile.write(body[start : start + _PIECE])

    def _send_headers(self, headers: dict[str, str]) -> None:
        for name, text in {**_HEADERS, **headers}.items():
            self.send_header(name, text)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


_ASKS = {"WWW-Authenticate": "Bearer"}


def _static(name: str) -> bytes:
    return files("search.watch").joinpath(name).read_bytes()


@cache
def _script() -> bytes:
    """Return the page's script: what the report's figures on canvas share comes first."""
    parts = (str(own("canvas.js")).encode(), _static("live.js"))
    return b'(() => {\n"use strict";\n' + b"\n".join(parts) + b"\n})();\n"


@cache
def _styles() -> bytes:
    """Return the report's styles, the arms' colours and the page's own."""
    light, dark = (
        "".join(f"--arm-{n}: {getattr(each, look)}; " for n, each in enumerate(COLOURS))
        for look in ("light", "dark")
    )
    arms = "".join(f".arm-{n} {{ --c: var(--arm-{n}); }}\n" for n in range(len(COLOURS)))
    colours = (
        f":root {{ {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n{arms}"
    )
    return b"\n".join((str(own("page.css")).encode(), colours.encode(), _static("live.css")))


@cache
def _login() -> tuple[bytes, str]:
    """Return the page that asks for the token, and its policy."""
    page = _static("login.html")
    names = {}
    for name in ("script", "style"):
        (text,) = re.findall(rf"<{name}>(.*?)</{name}>".encode(), page, re.S)
        digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
        names[f"{name}s"] = f"{name}-src 'sha256-{digest}'"
    return page, _POLICY.format(**names)
