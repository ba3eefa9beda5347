"""Where a cluster's token comes from, and how it stays out of sight.

The order is Ray's own: RAY_AUTH_TOKEN, then the file RAY_AUTH_TOKEN_PATH, then ~/.ray/auth_token;
an explicit token file goes before all of them.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from deploy.errors import ClusterError


class Token:
    """A bearer token whose value is read by the connection alone and is never shown."""

    __slots__ = ("_value", "source", "warning")

    def __init__(self, value: str, source: str, warning: str | None = None) -> None:
        value = value.strip()
        # A header takes visible ASCII only, and the HTTP library quotes a bad value in its error.
        if not re.fullmatch(r"[!-~]+", value):
            raise ClusterError.refused(
                source,
                "a token must be one line of visible ASCII characters",
                "write the cluster's token there, as `ray get-auth-token` prints it",
            )
        self._value = value
        self.source = source  #: the environment variable or file that it was read from
        self.warning = warning  #: what the user should know about that place, if anything

    def __repr__(self) -> str:
        return f"Token(from {self.source})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a token must not be written anywhere")

    def header(self) -> str:
        """Return the value of the Authorization header."""
        return f"Bearer {self._value}"


def find_token(
    token_file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Token | None:
    """Return the token that Ray's own clients use, or None if there is none.

    Raises ClusterError if a token file that was asked for cannot be read or holds no token.
    """
    if token_file is not None:
        return _read(token_file, "--token-file")
    if value := environ.get("RAY_AUTH_TOKEN", "").strip():
        return Token(value, "RAY_AUTH_TOKEN")
    if path := environ.get("RAY_AUTH_TOKEN_PATH"):
        in_full = os.path.expanduser(path)  # noqa: PTH111  Path.expanduser raises RuntimeError
        return _read(Path(in_full), "RAY_AUTH_TOKEN_PATH")
    home = environ.get("HOME")
    default = (Path(home) if home else Path.home()) / ".ray" / "auth_token"
    return _read(default, "the default token file") if default.is_file() else None


def _read(path: Path, asked_by: str) -> Token:
    try:
        mode = path.stat().st_mode
        value = path.read_text("ascii", errors="replace")
    except OSError as error:
        raise ClusterError.refused(
            str(path),
            f"the token file of {asked_by} must be readable ({error.strerror})",
            "name a readable file that holds the cluster's token",
        ) from error
    warning = None
    if stat.S_IMODE(mode) & 0o077:
        warning = f"{path} can be read by other users: chmod 600 {path}"
    return Token(value, str(path), warning)
