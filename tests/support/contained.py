"""Containers without Docker: a mount namespace whose root is read-only, and a user without rights.

What a container of deploy/ may write is read out of its manifest. The root holds this machine's
programs and this environment in the image's place. `python contained.py PLAN`, run by root under
`unshare --mount`, makes the root and becomes the command.
"""

import ctypes
import fcntl
import json
import os
import re
import shlex
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HOME = "/home/gatesearch"
#: As runtimes mount a tmpfs of compose and /dev/shm, unless the file says otherwise.
_PLAIN = "noexec,nosuid,nodev"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of <sched.h>
_SET_FLAGS, _UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP of <net/if.h>
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True)
class Volume:
    """A place that a container may write."""

    path: str
    options: str = ""  #: of a tmpfs of its own
    shared: bool = False  #: a folder that other containers have as well


@dataclass(frozen=True)
class Container:
    """How a container is confined, by its manifest."""

    volumes: tuple[Volume, ...]
    user: int


def of_pod(spec: Mapping[str, Any], name: str) -> Container:
    """Return what a pod of Kubernetes lets a container do."""
    (container,) = (one for one in spec["containers"] if one["name"] == name)
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    assert not security["allowPrivilegeEscalation"] and spec["securityContext"]["runAsNonRoot"]
    group = spec["securityContext"]["fsGroup"]
    known = {volume["name"]: volume for volume in spec["volumes"]}
    found = []
    for mount in container["volumeMounts"]:
        volume = known[mount["name"]]
        if "persistentVolumeClaim" in volume:
            found.append(Volume(mount["mountPath"], shared=True))
        else:
            size = _size(volume["emptyDir"]["sizeLimit"])
            found.append(Volume(mount["mountPath"], f"mode=2777,gid={group},size={size}"))
    return Container(tuple(found), spec["securityContext"]["runAsUser"])


def of_service(service: Mapping[str, Any]) -> Container:
    """Return what compose lets a service do."""
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    found = [Volume(text.split(":")[1], shared=True) for text in service["volumes"]]
    for text in service["tmpfs"]:
        path, _, options = text.partition(":")
        words = options.split(",")
        plain = [word for word in _PLAIN.split(",") if word.removeprefix("no") not in words]
        found.append(Volume(path, ",".join([*plain, *words])))
    found.append(Volume("/dev/shm", f"{_PLAIN},mode=1777,size={_size(service['shm_size'])}"))
    return Container(tuple(found), int(service["user"].split(":")[0]))


def image_environment(dockerfile: Path) -> dict[str, str]:
    """Return what the image sets in its last stage; this environment's programs are on PATH."""
    stage = re.split(r"(?m)^FROM ", dockerfile.read_text())[-1].replace("\\\n", " ")
    (line,) = re.findall(r"(?m)^ENV (.*)$", stage)
    found = dict(word.split("=", 1) for word in shlex.split(line))
    path = [str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/bin", "/bin"]
    return found | {"PATH": os.pathsep.join(path), "HOME": HOME}


def start(
    container: Container,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    stage: Path,
    shared: Path,
    log: Path,
    files: Mapping[str, Path] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a command in a container. Its process's id is the command's.

    stage: an empty folder, over which the root is made. shared: what shared volumes hold. files:
    what is at some paths, read-only.
    """
    plan = {
        "stage": str(stage),
        "shared": str(shared),
        "system": list(_programs()),
        "files": {path: str(source) for path, source in (files or {}).items()},
        "volumes": [asdict(volume) for volume in container.volumes],
        "user": container.user,
        "environment": dict(environment),
        "command": list(command),
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            ["unshare", "--mount", sys.executable, __file__, json.dumps(plan)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def own_network() -> Iterator[None]:
    """Have this thread, and what it starts, see a network of their own: an empty loopback."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(libc.unshare(_NEW_NETWORK))
        try:
            with socket.socket() as asked:
                fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
            yield
        finally:
            _check(libc.setns(before, _NEW_NETWORK))
    finally:
        os.close(before)


def _check(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def writable(pid: int) -> set[str]:
    """Return the mount points that a process may write by what is mounted there."""
    lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    return {line.split()[4] for line in lines if line.split()[5].split(",")[0] == "rw"}


def rights(pid: int) -> dict[str, str]:
    """Return a process's user and capabilities, as /proc/PID/status tells them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    names = ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    return {name: " ".join(told[name].split()) for name in names}


def _size(text: str) -> str:
    found = re.fullmatch(r"(\d+)([kmg])i?b?", text.lower())
    assert found is not None, text
    return f"{found[1]}{found[2]}"


def _programs() -> Iterator[str]:
    """Yield what the image has: the system's programs and this environment."""
    own = {str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix}
    own |= {entry for entry in sys.path if Path(entry).name == "site-packages"}
    found = [Path(path) for path in (*_SYSTEM, *sorted(own))]
    for path in found:
        if path.exists() and not any(other in path.parents for other in found):
            yield str(path)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _make_root(plan: Mapping[str, Any]) -> None:
    stage = Path(plan["stage"])

    def bind(source: str, at: str) -> None:
        _mount("--bind", source, f"{stage}{at}")
        _mount("--options", "remount,bind,ro", f"{stage}{at}")

    _mount("--make-rprivate", "/")
    _mount("--types", "tmpfs", "--options", "mode=0755", "root", str(stage))
    for path in map(Path, plan["system"]):
        at = stage / path.relative_to("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            at.symlink_to(path.readlink())
        else:
            at.mkdir()
            bind(str(path), str(path))
    for name in ("proc", "dev", "run"):
        (stage / name).mkdir()
    _mount("--types", "proc", "proc", str(stage / "proc"))
    people = stage / "people"
    people.write_text(
        "root:x:0:0:root:/root:/bin/sh\n"
        f"gatesearch:x:{plan['user']}:{plan['user']}::{HOME}:/bin/sh\n"
    )
    bind(str(people), "/etc/passwd")
    own = {f"/dev/{name}": f"/dev/{name}" for name in _DEVICES} | plan["files"]
    for path, source in own.items():
        at = stage / path.lstrip("/")
        at.parent.mkdir(parents=True, exist_ok=True)
        at.touch()
        bind(source, path)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (stage / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (stage / "dev" / "fd").symlink_to("/proc/self/fd")
    for volume in plan["volumes"]:
        at = stage / volume["path"].lstrip("/")
        at.mkdir(parents=True, exist_ok=True)
        if volume["shared"]:
            _mount("--bind", plan["shared"], str(at))
        else:
            _mount("--types", "tmpfs", "--options", volume["options"], "volume", str(at))
    _mount("--options", "remount,ro", str(stage))


def _become(plan: Mapping[str, Any]) -> None:
    """Become the command, as a user without rights in that root."""
    os.chroot(plan["stage"])
    os.chdir(HOME if Path(HOME).is_dir() else "/")
    user = str(plan["user"])
    confined = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    confined += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
    os.execvpe("setpriv", [*confined, "--pdeathsig=TERM", *plan["command"]], plan["environment"])


if __name__ == "__main__":
    found_plan = json.loads(sys.argv[1])
    _make_root(found_plan)
    _become(found_plan)
