"""The dashboard: MLflow's own pages over the runs folder's database, until it is interrupted."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psutil

from search.process import interruptible
from search.tracking import mlflow_compat
from search.tracking.database import ARTIFACTS, DATABASE, LOCAL_URI
from search.tracking.state import TRACKING, MirrorState, mirror_state
from search.tracking.views import VIEWS
from spaces.errors import InputError
from spaces.text import printable

_TITLE = max(map(len, VIEWS.values()))
_START = 180.0  # seconds that the server may take to answer: a busy machine is slow
_STOP = 5.0  # seconds that it may take to end by itself
LOOPBACK = ("127.0.0.1", "localhost", "::1")  #: names of this machine for itself alone
_EVERYWHERE = ("0.0.0.0", "::", "")
_ALLOWED = re.compile(
    r"(?P<scheme>https?://)?(?P<name>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
)


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int = 5000,
    allowed: Sequence[str] = (),
    *,
    name: str | None = None,
    opens: bool = False,
) -> None:
    """Serve the MLflow pages of all jobs in a runs folder until Ctrl-C or SIGTERM.

    root: the runs folder. allowed: names and origins, besides this machine's own, under which the
    pages may be opened. name: the job whose views are told first; by default the latest one. opens:
    whether a browser opens on them. Prints the addresses as soon as the pages can be opened. Raises
    InputError where there are no runs, the port is taken, or the server does not start.
    """
    root = root.resolve()
    if not root.is_dir():
        remedy = "run a job first, or give the folder of its runs with --root"
        raise InputError.of(str(root), "the folder must have the runs of a job", remedy)
    _check_free(host, port)
    origins = allowed_origins(host, port, allowed)
    with suppress(KeyboardInterrupt), interruptible(), TemporaryFile() as log:
        _prepare(root)
        with _server(root, host, port, origins, log) as server:
            _wait_for(server, host, port)
            if server.poll() is None:
                pages = address(host, port) + mlflow_compat.PAGES
                print(printable(f"MLflow shows the runs in {root} at {pages}"))
                tell_views(root, address(host, port), name, opens=opens)
                print("Ctrl-C ends it.")
                if host not in LOOPBACK:
                    print(
                        printable(
                            f"From other machines: {', '.join(origins)}; --allow adds a name."
                        )
                    )
                    print("Everybody who reaches this address may read, change and delete them.")
                sys.stdout.flush()
            server.wait()
            rule = f"MLflow's server must not end by itself: {_last_line(log)}"
            raise InputError.of("dashboard", rule, "start it again, or try another --port")


def tell_views(root: Path, server: str | None, name: str | None, *, opens: bool = False) -> None:
    """Print where MLflow shows the views of a job, and where it opens on the other jobs.

    server: http://… that serves the runs folder's database. name: the job; None is the latest one.
    """
    jobs = _mirrored(root)
    name = next(iter(jobs), None) if name is None else name
    if name in jobs:
        print(printable(f"{name}:"))
        for view, title in VIEWS.items():
            if (place := jobs[name].address(view, server)) is not None:
                print(printable(f"  {title:{_TITLE}}  {place}"))
                if opens and view == next(iter(VIEWS)):
                    webbrowser.open(place)
    for other, state in jobs.items():
        place = state.address(next(iter(VIEWS)), server)
        if other != name and place is not None:
            print(printable(f"{other}: {place}"))


def _mirrored(root: Path) -> dict[str, MirrorState]:
    """Return the states of the mirrors of all jobs in a runs folder, the latest one first."""
    files = sorted(root.glob(f"*/{TRACKING}.jsonl"), key=lambda path: -path.stat().st_mtime)
    return {path.parent.name: mirror_state(path.parent) for path in files}


def _prepare(root: Path) -> None:
    """Make the database before the server does, where no job has made it yet."""
    if (root / DATABASE).exists():
        return
    command = [sys.executable, "-P", "-m", "search.tracking.follower", str(root), "--prepare"]
    made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if made.returncode:
        lines = made.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {made.returncode}"
        rule = f"the folder must take a new database ({reason})"
        raise InputError.of(str(root / DATABASE), rule, "check the folder's permissions and space")


@contextmanager
def _server(
    root: Path, host: str, port: int, origins: Sequence[str], log: IO[bytes]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the server in a process group of its own, which ends with the block."""
    server = subprocess.Popen(
        mlflow_compat.server_command(LOCAL_URI, f"./{ARTIFACTS}", host, port, origins),
        cwd=root,
        env={**os.environ, **mlflow_compat.SERVER_ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield server
    finally:
        _end(server)


def _end(server: "subprocess.Popen[bytes]") -> None:
    """End the group: the server's own workers are its members and outlive it otherwise."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
        except ProcessLookupError:
            break
        until = time.monotonic() + _STOP
        while time.monotonic() < until and _group_lives(server):
            time.sleep(0.05)
    server.wait()


def _group_lives(server: "subprocess.Popen[bytes]") -> bool:
    server.poll()  # takes the exit code, or its zombie would count as a member
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for(server: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    """Return when the server answers or has ended. Raises InputError when it takes too long."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + _START
    while time.monotonic() < until and server.poll() is None:
        try:
            with direct.open(f"{address(host, port)}{mlflow_compat.HEALTH}", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    if server.poll() is None:
        rule = f"MLflow's server must answer within {_START:.0f} s"
        raise InputError.of("dashboard", rule, "try again when the machine is less busy")


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


def _check_free(host: str, port: int) -> None:
    """Raise InputError unless the address can be listened on."""
    if not 0 < port < 2**16:
        rule = f"must be a port's number, not {port}"
        raise InputError.of("--port", rule, "give one from 1024 to 65535")
    try:
        family, kind, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found)
    except OSError as error:
        rule = f"{host}:{port} must be free ({error.strerror or error})"
        remedy = "give another one with --port, or end the program that uses it"
        raise InputError.of("--port", rule, remedy) from error


def allowed_origins(host: str, port: int, allowed: Sequence[str] = ()) -> list[str]:
    """Return http(s)://NAME[:PORT] under which the pages may be opened; none: loopback alone.

    A server that took any name would let every page that a browser shows read the runs (DNS
    rebinding). So it takes the names and addresses of this machine and those that are `allowed`:
    NAME, NAME:PORT or http(s)://NAME[:PORT]. Raises InputError for one of another form.
    """
    if host in LOOPBACK and not allowed:
        return []
    names = [*LOOPBACK, *(_own_names() if host in _EVERYWHERE else [host])]
    found = [f"http://{_bracketed(name)}:{port}" for name in names]
    for text in allowed:
        match = _ALLOWED.fullmatch(text)
        if match is None:
            rule = f"must be NAME, NAME:PORT or http(s)://NAME[:PORT], not {text!r}"
            raise InputError.of("--allow", rule, "give the address that the browser shows")
        scheme, name, given = match["scheme"] or "http://", match["name"], match["port"]
        behind = "" if match["scheme"] else f":{port}"  # an origin is whole as it is
        found.append(f"{scheme}{name}{given or behind}".lower())
    return list(dict.fromkeys(found))


def _own_names() -> list[str]:
    """Return this machine's names and addresses."""
    names = [socket.gethostname(), socket.getfqdn()]
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                names.append(one.address.partition("%")[0])  # without the interface's name
    return names


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def address(host: str, port: int) -> str:
    """Return the URL to open; a server on all interfaces is on the loopback one as well."""
    shown = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{_bracketed(shown)}:{port}"
