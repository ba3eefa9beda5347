"""The token that opens what may be changed, in a file that its owner alone can read."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from spaces.errors import InputError
from trainables.files import draft_file, open_own, remove_stale_drafts

_LEAST, _MOST = 16, 1_000  # characters of a token


def standard_file() -> Path:
    """Return where the token of this user's pages is: ~/.local/state/gatesearch/watch.token."""
    standard = Path(os.environ.get("XDG_STATE_HOME", ""))
    states = standard if standard.is_absolute() else Path.home() / ".local" / "state"
    return states / "gatesearch" / "watch.token"


def read_token(path: Path) -> str:
    """Return the token in a file, which is made where it is not there.

    Raises InputError where others may read the file, or it holds no token.
    """
    if not os.path.lexists(path):
        _make(path)
    handle = open_own(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        text = file.read(_MOST + 1).decode("ascii", errors="replace").strip()
    if stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid != os.geteuid():
        rule = "the file of a token must be its owner's alone (mode 600)"
        raise InputError.of(str(path), rule, f"chmod 600 {path}, or remove it for a new token")
    if not _LEAST <= len(text) <= _MOST or not all(33 <= ord(each) <= 126 for each in text):
        rule = f"must hold a token of {_LEAST} to {_MOST} printable characters"
        raise InputError.of(str(path), rule, "remove the file: a new token is made then")
    return text


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    remove_stale_drafts(path)
    with draft_file(path) as (draft, handle):
        os.fchmod(handle, 0o600)
        os.write(handle, f"{secrets.token_urlsafe(32)}\n".encode())
        os.fsync(handle)
        with suppress(FileExistsError):  # somebody else was faster: their token counts
            os.link(draft, path)
