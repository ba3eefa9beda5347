"""People, and the tokens that the queue signs for them.

A token is `gsq.NAME.NUMBER.SIGNATURE`, the signature an HMAC-SHA256 of name and number under a key
that the queue alone reads. No token is kept but that of whoever started the queue, in its folder: a
new one for the same name has the next number, and ends the one before.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path

from deploy.errors import ClusterError
from deploy.files import write_whole

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_TOKEN = re.compile(r"gsq\.([a-z0-9_-]{1,32})\.([0-9]{1,9})\.([0-9a-f]{64})")
KEY_BYTES = 32


class Signer:
    """Signs and checks tokens with a key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Signer()"

    def sign(self, name: str, number: int) -> str:
        """Return a user's token of that number."""
        return f"gsq.{name}.{number}.{self._signature(name, number)}"

    def read(self, token: str) -> tuple[str, int] | None:
        """Return whom a token names, and its number; None unless it was signed here."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        name, number = match[1], int(match[2])
        good = hmac.compare_digest(self._signature(name, number), match[3])
        return (name, number) if good else None

    def _signature(self, name: str, number: int) -> str:
        text = f"gatesearch queue token\0{name}\0{number}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


def key_of(path: Path) -> bytes:
    """Return the key in a file, made where there is none. Raises ClusterError for what is none."""
    if not path.exists():
        write_whole(path, secrets.token_bytes(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        rule = f"the queue's key must have {KEY_BYTES} bytes, not {len(key)}"
        raise ClusterError(str(path), rule, "remove it; every user then needs a new token")
    return key


def check_name(name: object) -> str:
    """Return a user's name. Raises ClusterError for what is none."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        rule = f"a user's name must be 1 to 32 of a-z, 0-9, - and _, not {name!r:.60}"
        raise ClusterError.refused("user", rule, "give another name")
    return name
