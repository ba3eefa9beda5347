"""The one rule for URLs: of a known scheme, with a host, and never with a password."""

import re
from typing import Any
from urllib.parse import unquote

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from spaces.fields import Fault, refusal
from spaces.text import listed, show

#: The environment variables that a password belongs into, by scheme.
_CREDENTIALS = {
    "http": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN,",
    "postgresql": "PGPASSWORD or PGPASSFILE",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
_SECRET = re.compile(
    r"(?i)[?&;#][^=&;]*(password|passwd|pwd|secret|token|access_?key|api_?key)[^=&;]*="
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\s\[\]]+)(:[0-9]{1,5})?")
_WITHOUT_HOST = ("sqlite",)  # such a URL names a file


class Url:
    """Makes a text field of a section a URL with one of these schemes."""

    def __init__(self, *schemes: str) -> None:
        self._schemes = schemes

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core), "pattern": f"^({'|'.join(self._schemes)})://[^\\s]+$"}

    def _check(self, url: str) -> str:
        fault = url_fault(url, *self._schemes)
        if fault is not None:
            raise refusal([fault])
        return url


def url_fault(url: str, *schemes: str) -> Fault | None:
    """Return what makes a URL unfit for use with these schemes, or None if it is fit.

    The fault's text never repeats a password.
    """
    offer = listed([f"{name}://…" for name in schemes], "or")
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in schemes or re.search(r"\s", url) or not rest.isprintable():
        return Fault(f"must be {offer}, not {show(url)}", f"write {offer}, or null")
    authority = re.split(r"[/?#]", rest)[0]
    if _has_secret(scheme, authority, rest):
        rule = f"must carry no user's password or token: {show(url)}"
        variables = _CREDENTIALS.get(scheme, _CREDENTIALS["http"])
        return Fault(rule, f"take it out and set {variables} in the environment")
    host = authority.rpartition("@")[2]
    without_host = scheme in _WITHOUT_HOST or (scheme == "postgresql" and not host)
    if not without_host and not all(_HOST.fullmatch(part) for part in host.split(",")):
        return Fault(
            f"must name a host, and a port in digits if any: {show(url)}", f"write {offer}"
        )
    return None


def same_server(one: str, other: str) -> bool:
    """Return whether two URLs name one server: its host's case and a last slash make none."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.rstrip("/").partition("://")
    host, _, path = rest.partition("/")
    return scheme, host.lower(), path


def _has_secret(scheme: str, authority: str, rest: str) -> bool:
    """Return whether a URL carries a password or a token, percent-encoded or not.

    rest: everything behind the scheme. Only postgresql takes a user name alone: elsewhere what
    stands there may be a token.
    """
    user, at, _ = authority.rpartition("@")
    if ":" in unquote(user) or (at and scheme != "postgresql"):
        return True
    # A password with a slash in it, or a user's name.
    behind = rest[len(authority) :]
    cut = "@" in behind and (":" in unquote(authority) or scheme == "postgresql")
    return cut or _SECRET.search(unquote(rest)) is not None
