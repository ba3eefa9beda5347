"""A headless Chromium, told what to do over a pipe (Chrome DevTools Protocol); no driver needed."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
_PATIENCE = 60.0  #: seconds for an answer


class Browser:
    """One page of a browser, and what it complained of or asked the network for."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._pending = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def begin(self) -> None:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
        raise TimeoutError(method)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            more = os.read(self._receive, 1 << 20)
            assert more, "the browser has ended"
            self._pending += more
        line, self._pending = self._pending.split(b"\0", 1)
        message = json.loads(line)
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(str(params["entry"]))
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
        return dict(message)

    def look(self, *, dark: bool = False, width: int = 1280, height: int = 800) -> None:
        """Choose the scheme and the size of the window."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def open(self, path: Path) -> None:
        """Open a file and wait until all of it is loaded and painted."""
        self.ask("Page.navigate", url=path.resolve().as_uri())
        loaded = "document.readyState === 'complete' ? done() : addEventListener('load', done)"
        self.run(f"new Promise(done => {loaded})")
        self.painted()

    def painted(self) -> None:
        """Wait until the browser has painted twice."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """Return what a script (an expression, or a promise) gives."""
        found = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path, selector: str | None = None, scale: float = 1.0) -> None:
        """Write what is seen, or one element wherever it is, as a PNG.

        scale: pixels for one of the page's, where all is seen.
        """
        size = "({x: 0, y: 0, width: innerWidth, height: innerHeight})"
        more: dict[str, Any] = {"clip": {**self.run(size), "scale": scale}}
        if selector:
            box = self.run(
                f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView(); "
                "const b = e.getBoundingClientRect(); return {x: b.x + scrollX, y: b.y + scrollY, "
                "width: b.width, height: b.height}; })()"
            )
            time.sleep(0.3)
            more = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
        shot = self.ask("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(shot["data"]))

    def print(self, path: Path) -> None:
        """Write the page as a PDF on A4."""
        made = self.ask("Page.printToPDF", printBackground=False, paperWidth=8.27, paperHeight=11.7)
        path.write_bytes(base64.b64decode(made["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with an empty profile, ended at the end."""
    assert CHROMIUM is not None
    commands, send = os.pipe()
    receive, answers = os.pipe()

    def hand_over() -> None:
        os.dup2(commands, 30), os.dup2(answers, 31)
        os.dup2(30, 3), os.dup2(31, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            env={**os.environ, "TMPDIR": profile},  # it leaves files there where it is killed
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=hand_over,
            pass_fds=(3, 4),
        )
        os.close(commands), os.close(answers)
        try:
            found = Browser(send, receive)
            found.begin()
            yield found
        finally:
            process.kill()
            process.wait()
            os.close(send), os.close(receive)
