"""Webhooks are told of a job's end, again until they take it, and hold nothing up."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from queued import entry, events, file_store

from deploy.errors import ClusterError
from deploy.queue.dispatch import end_entry
from deploy.queue.notify import PAUSES, Notifier, check_url
from deploy.queue.store import Store


@contextmanager
def receiver(*statuses: int) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A server that answers with these statuses in turn; its URL, and what it was told."""
    told: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/json"
            told.append(json.loads(body))
            self.send_response(statuses[min(len(told), len(statuses)) - 1])
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/s3cret", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = file_store(tmp_path)
    yield opened
    opened.close()


class Clock:
    """Milliseconds that a test sets; far ahead of the store's own."""

    def __init__(self) -> None:
        self.now = 10**15

    def __call__(self) -> int:
        return self.now


def ended(store: Store, url: str) -> None:
    one = entry("ann1", notify=url)
    store.add(one)
    end_entry(store, one, "succeeded", "Job finished successfully.", 0)


def test_an_end_is_told_once_with_what_the_payload_promises(store: Store) -> None:
    with receiver(204) as (url, told):
        ended(store, url)
        notifier = Notifier(store, Clock())
        notifier.step()
        notifier.step()
    assert len(told) == 1 and store.notices() == []
    assert set(told[0]) == {
        *("event", "id", "name", "user", "state", "message", "exit_code"),
        *("submitted", "started", "ended"),
    }
    assert (told[0]["event"], told[0]["state"]) == ("gatesearch.job.ended", "succeeded")


def test_a_webhook_that_fails_is_told_again_later_also_by_the_next_process(
    tmp_path: Path,
) -> None:
    clock = Clock()
    with receiver(500, 302, 200) as (url, told):
        for _ in range(3):
            store = file_store(tmp_path)
            if not told:
                ended(store, url)
            Notifier(store, clock).step()
            count = len(told)
            Notifier(store, clock).step()  # not due yet
            assert len(told) == count
            clock.now += 1000 * max(PAUSES)
            left = store.notices()
            store.close()
    assert len(told) == 3 and left == []  # a redirect is not followed


def test_a_webhook_that_is_never_there_is_given_up(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    ended(store, "http://127.0.0.1:1/nobody")
    for _ in range(len(PAUSES) + 1):
        assert len(store.notices()) == 1
        Notifier(store, clock).step()
        clock.now += 1000 * max(PAUSES)
    assert store.notices() == []
    assert events(tmp_path)[-1] == ("ann1", "ann", "webhook given up")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/x", "file:///etc/passwd", "host/x", "http://", "https:///x", "", None, 7),
        *("http://me:pass@host/x", "http://host:99999/x", "http://host/a b", "http://host/\n"),
        *("http://[::1/x", "http://höst/x", "http://host/" + 2000 * "x"),
    ],
)
def test_what_is_no_webhook_is_refused(url: object) -> None:
    with pytest.raises(ClusterError, match="webhook") as refusal:
        check_url(url)
    assert refusal.value.exit_code == 2 and "pass@" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "https://hooks.example/a?b=c"])
def test_a_webhook_is_http_or_https(url: str) -> None:
    assert check_url(url) == url
