"""Who may read the page, and who may stop and resume the job.

A page on loopback that is opened under loopback's name is read by who can reach it, which is this
machine; whatever changes the job takes the token. A page on another address, or under a name of
--allow, as behind a proxy, takes it for everything. A request under a foreign name (DNS rebinding)
or from a foreign page is refused first, token or not.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from search.tracking.dashboard import LOOPBACK, allowed_origins

COOKIE = "gatesearch-watch"
_BEARER = re.compile(r"Bearer ([!-~]{1,1000})")


class Access:
    """What decides on requests. Headers are asked by their names, whatever the case."""

    def __init__(self, host: str, port: int, token: str, allowed: Sequence[str] = ()) -> None:
        """allowed: more names under which the page may be opened, as of the dashboard."""
        self._near = host in LOOPBACK
        # "localhost" has it name all origins, of loopback too.
        origins = allowed_origins(host, port, ["localhost", *allowed])
        self._hosts = frozenset(urlsplit(origin).netloc for origin in origins)
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"gatesearch watch", hashlib.sha256).hexdigest()

    def is_foreign(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request is for another name, or comes from another's page."""
        host = (headers.get("Host") or "").lower()
        if host not in self._hosts and _name(host) not in LOOPBACK:
            return True  # of loopback with another port: the end of a tunnel
        origin = headers.get("Origin")
        return origin is not None and urlsplit(origin.lower()).netloc != host

    def may_read(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request may read the page."""
        near = self._near and _name(headers.get("Host") or "") in LOOPBACK
        return near or self.may_act(headers) or self._has_cookie(headers)

    def may_act(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request carries the token."""
        found = _BEARER.fullmatch(headers.get("Authorization") or "")
        return found is not None and hmac.compare_digest(found[1].encode(), self._token)

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        try:
            morsel = SimpleCookie(headers.get("Cookie") or "").get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(
            morsel.value.encode(errors="replace"), self.cookie.encode()
        )


def _name(host: str) -> str | None:
    """Return the name in a Host header; None for what is none."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
