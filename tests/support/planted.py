"""A planted password, looked for wherever it must not be: files, command lines, environments."""

import base64
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def forms(secret: str, user: str = "") -> tuple[bytes, ...]:
    """Return a secret as it is, and as HTTP sends it for a user."""
    sent = [base64.b64encode(f"{user}:{secret}".encode())] if user else []
    return (secret.encode(), *sent)


def in_files(found: Collection[bytes], folders: Iterable[Path]) -> list[Path]:
    """Return the files below some folders that hold one of these."""
    return [
        file
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink()
        if any(each in _content(file) for each in found)
    ]


def in_processes(found: Collection[bytes], known: Collection[str] = ()) -> list[str]:
    """Return the processes of this machine whose command line or environment holds one of these.

    known: variables that may have it, as a user sets them.
    """
    return [
        f"{process.name} {place}: {_content(process / 'cmdline').decode(errors='replace')}"
        for process, place in _holding(found)
        if place not in known
    ]


def carriers(found: Collection[bytes], variable: str) -> set[int]:
    """Return the processes that have one of these in this variable of their environment."""
    return {int(process.name) for process, place in _holding(found) if place == variable}


def _holding(found: Collection[bytes]) -> Iterator[tuple[Path, str]]:
    """Yield the processes that hold one of these, and where."""
    for process in Path("/proc").glob("[0-9]*"):
        places = [("command line", _content(process / "cmdline"))]
        for each in _content(process / "environ").split(b"\0"):
            name, _, value = each.partition(b"=")
            places.append((name.decode(errors="replace"), value))
        for place, text in places:
            if any(each in text for each in found):
                yield process, place


def _content(file: Path) -> bytes:
    with suppress(OSError):  # it has gone meanwhile
        return file.read_bytes()
    return b""
