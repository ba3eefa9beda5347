"""The live page in a real browser: it moves without being loaded again; texts stay texts."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from live_page import TOKEN, served
from written_jobs import WrittenJob

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
HOSTILE = "</script><img src=x onerror=alert(1)>"
SOON = 60.0  # seconds, a bound that only a hang reaches


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as page:
        yield page


def go(page: Browser, address: str) -> None:
    page.ask("Page.navigate", url=address)
    comes(page, "document.querySelector('#connection')?.textContent === 'live'")


def comes(page: Browser, what: str) -> None:
    """Wait until an expression is true, whatever page is open by then."""
    until = time.monotonic() + SOON
    while True:
        with suppress(AssertionError):  # the page is being left
            if page.run(f"Boolean({what})"):
                return
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.05)


def test_the_page_moves_to_the_verdict_without_being_loaded_again(
    opened: Browser, tmp_path: Path
) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("search/rnn/0")
    opened.look(dark=True)
    with served(job.folder) as site:
        go(opened, f"http://127.0.0.1:{site.port}/#token={TOKEN}")
        opened.run("window.first = true")
        assert opened.run("location.hash") == ""
        comes(opened, "document.querySelectorAll('#slots tbody tr').length === 1")
        assert opened.run("document.querySelector('#provisional').hidden") is False
        job.report("search/rnn/0", 1, 4)
        comes(opened, "document.querySelector('#slots tbody').textContent.includes('4 of 9')")
        comes(opened, "document.querySelector('#plot-curves canvas')")
        assert opened.run("document.querySelector('#stop').disabled") is False
        job.end("search/rnn/0")
        job.trial("search/rnn/1")
        job.end("search/rnn/1", "failed", reason=HOSTILE)
        comes(opened, "document.querySelector('#latest').textContent.includes('onerror')")
        comes(opened, "document.querySelector('#plot-best canvas')")
        opened.run("document.querySelector('#report').scrollIntoView()")
        comes(opened, "document.querySelector('#frames iframe')?.clientHeight > 600")
        job.trial("search/lstm/0")
        job.report("search/lstm/0", 1, 6)
        job.end("search/lstm/0")
        job.confirm()
        job.finish()
        comes(opened, "document.querySelector('#provisional').hidden")
        assert "pair" in opened.run("document.querySelector('#verdict').textContent")
        inside = "document.querySelector('#frames iframe').contentDocument"
        comes(opened, f"{inside}?.querySelector('.verdict')?.textContent.includes('pair')")
        comes(opened, f"{inside}.querySelector('#trials details')")
        assert opened.run(f"{inside}.querySelectorAll('img').length") == 0
        assert opened.run("document.querySelectorAll('img').length") == 0
        assert opened.run("window.first") is True
        own = f"http://127.0.0.1:{site.port}/"
        asked = {address.partition("?")[0] for address in opened.requests}
        assert {each for each in asked if not each.startswith((own, "data:", "blob:"))} == set()
    assert opened.complaints == []


def test_a_server_that_comes_back_is_found_again(opened: Browser, tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("search/rnn/0")
    with served(job.folder) as site:
        port = site.port
        go(opened, f"http://127.0.0.1:{port}/")
        opened.complaints.clear()
        comes(opened, "document.querySelectorAll('#slots tbody tr').length === 1")
    comes(opened, "document.querySelector('#connection').className === 'lost'")
    job.trial("search/lstm/0")
    with served(job.folder, port=port):
        comes(opened, "document.querySelector('#connection').className === 'live'")
        comes(opened, "document.querySelectorAll('#slots tbody tr').length === 2")
    opened.complaints.clear()  # that nobody answered meanwhile


def test_a_page_beyond_loopback_opens_with_the_token_of_its_address(
    opened: Browser, tmp_path: Path
) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.trial("search/rnn/0")
    with served(job.folder, "0.0.0.0") as site:
        opened.ask("Page.navigate", url=f"http://127.0.0.1:{site.port}/")
        comes(opened, "document.querySelector('#token')")
        opened.run("sessionStorage.clear()")
        opened.run("document.querySelector('#token').value = 'wrong'")
        opened.run("document.querySelector('#open').click()")
        comes(opened, "document.querySelector('#said').textContent.includes('not the token')")
        opened.ask("Page.navigate", url="about:blank")
        go(opened, f"http://127.0.0.1:{site.port}/#token={TOKEN}")
        comes(opened, "document.querySelectorAll('#slots tbody tr').length === 1")
        assert opened.run("document.querySelector('#act').hidden") is False
    opened.complaints.clear()  # of the 401s that were asked for


def test_the_page_fits_a_narrow_screen(opened: Browser, tmp_path: Path) -> None:
    job = WrittenJob(tmp_path / "vowels")
    job.whole()
    opened.look(width=400)
    with served(job.folder) as site:
        go(opened, f"http://127.0.0.1:{site.port}/")
        comes(opened, "document.querySelector('#plot-curves canvas')")
        assert opened.run("document.documentElement.scrollWidth") <= 400
        assert opened.run("document.querySelector('#plot-curves canvas').clientWidth") <= 400
    opened.complaints.clear()
