"""Tells a webhook of a job's end: a POST of JSON, tried again until it is taken.

    {"event": "gatesearch.job.ended", "id": …, "name": …, "user": …,
     "state": "succeeded" | "failed" | "stopped", "message": …, "exit_code": … or null,
     "submitted": …, "started": … or null, "ended": …}        times: milliseconds since 1970

Any 2xx answer takes it. What is to be told is on disk with the job's end, so that it is told though
the queue is killed; a receiver may hear of one end twice, and knows it by id and `ended`. It has a
thread of its own: a webhook that hangs holds up other webhooks for seconds, and no job.
"""

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from deploy.errors import ClusterError
from deploy.queue.store import Notice, Store, milliseconds

TIMEOUT_SECONDS = 10.0
#: Seconds between one try and the next; after the last one the webhook is given up.
PAUSES = (2, 5, 15, 60, 300, 900, 3600)
_LOOK_SECONDS = 1.0
MAX_URL = 2000


def check_url(url: object) -> str:
    """Return a webhook's URL. Raises ClusterError for one that is not told."""
    place = "--notify"
    if not isinstance(url, str) or len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        rule = f"a webhook must be a URL of at most {MAX_URL} ASCII characters"
        raise ClusterError.refused(place, rule, "give it as https://HOST/PATH")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or " " in url:
        rule = "a webhook must be an http or https URL"
        raise ClusterError.refused(place, rule, "give it as https://HOST/PATH")
    if "@" in parts.netloc:
        rule = "a webhook's URL must hold no user name and no password"
        raise ClusterError.refused(place, rule, "use one whose path is its secret")
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class Notifier:
    """Tells the store's webhooks, in a thread that calls `run`."""

    def __init__(self, store: Store, now: Callable[[], int] = milliseconds) -> None:
        self._store, self._now = store, now
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._over = threading.Event()

    def run(self, log: Callable[[str], None]) -> None:
        """Tell what is due until `end` is called, whatever a step meets."""
        while not self._over.is_set():
            try:
                self.step()
            except Exception as error:
                log(f"webhooks: {type(error).__name__}")  # its text may hold a URL
            self._over.wait(_LOOK_SECONDS)

    def end(self) -> None:
        """Have `run` return soon."""
        self._over.set()

    def step(self) -> None:
        """Tell what is due now."""
        for notice in self._store.notices():
            if self._over.is_set() or notice.due > self._now():
                return
            if self._told(notice):
                self._store.tried(notice, "told", notice.due)
            elif notice.tries < len(PAUSES):
                self._store.tried(notice, None, self._now() + 1000 * PAUSES[notice.tries])
            else:
                self._store.tried(notice, "given up", notice.due)

    def _told(self, notice: Notice) -> bool:
        request = urllib.request.Request(
            notice.url,
            data=notice.body.encode(),
            headers={"Content-Type": "application/json", "User-Agent": "gatesearch"},
            method="POST",
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return bool(200 <= answer.status < 300)
        except urllib.error.HTTPError as error:
            error.close()
        except (OSError, ValueError, http.client.HTTPException):
            pass
        return False
