"""URLs in job files: of a known scheme, and never with a password."""

import re
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from spaces.fields import Fault, refusal
from spaces.text import listed, show

#: Where a password belongs instead, by scheme.
_CREDENTIALS = {
    "http": "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN,",
    "postgresql": "PGPASSWORD or PGPASSFILE",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
_SECRET = re.compile(
    r"(?i)[?&;#][^=&;]*(password|passwd|pwd|secret|token|access_?key|api_?key)[^=&;]*="
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:@\s\[\]]+)(:[0-9]{1,5})?")


class Url:
    """Makes a text field a URL with one of these schemes."""

    def __init__(self, *schemes: str) -> None:
        self._schemes = schemes

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core), "pattern": f"^({'|'.join(self._schemes)})://[^\\s]+$"}

    def check(self, written: str) -> str:
        """Return the URL. Raises a refusal; no message repeats a password."""
        offer = listed([f"{name}://…" for name in self._schemes], "or")
        scheme, mark, rest = written.partition("://")
        if (
            not mark
            or scheme not in self._schemes
            or re.search(r"\s", written)
            or not rest.isprintable()
        ):
            rule = f"must be {offer}, not {show(written)}"
            raise refusal([Fault(rule, f"write {offer}, or null")])
        authority = re.split(r"[/?#]", rest)[0]
        user, at, host = authority.rpartition("@")
        private = ":" in user or (at and scheme != "postgresql") or _SECRET.search(rest)
        if private or ("@" in rest[len(authority) :] and ":" in authority):
            variables = _CREDENTIALS.get(scheme, _CREDENTIALS["http"])
            rule = f"a URL in a job file carries no user's password or token: {show(written)}"
            remedy = f"take it out and set {variables} in the environment"
            raise refusal([Fault(rule, remedy)])
        socket = scheme == "postgresql" and not host
        if not socket and not all(_HOST.fullmatch(part) for part in host.split(",")):
            rule = f"{show(written)} names no host and port that could be reached"
            raise refusal([Fault(rule, f"write {offer}")])
        return written
