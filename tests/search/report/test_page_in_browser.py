"""The page in a real browser: nothing is complained of, nothing asked for, and figures answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from made_results import job_text, made

from search.journal.trial import TrialResult
from search.report.page import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
HOSTILE = "</script><img src=x onerror=alert(1)>"
DRAWN = "[...document.querySelectorAll('.plot')].filter(each => each.querySelector('canvas, svg'))"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a job of three arms with names and reasons that mean harm."""

    def hostile(trial: TrialResult) -> TrialResult:
        if trial.number % 3:
            return trial
        config = trial.config.model_copy(update={"optimizer": HOSTILE})
        return replace(trial, config=config, reason=HOSTILE)

    folder = tmp_path_factory.mktemp("page")
    results = made(folder, job_text(trials=60))
    results = replace(results, trials=[hostile(trial) for trial in results.trials])
    write_report(results, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as page:
        yield page


@pytest.fixture
def page(opened: Browser, path: Path) -> Iterator[Browser]:
    """The page, opened anew; it has complained of nothing at the end."""
    opened.look()
    opened.open(path)
    yield opened
    assert opened.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_figure_is_drawn_without_complaint_and_without_a_network(
    page: Browser, dark: bool
) -> None:
    page.look(dark=dark)
    for number in range(page.run("document.querySelectorAll('.plot').length")):
        page.run(f"document.querySelectorAll('.plot')[{number}].scrollIntoView()")
        page.painted()
        page.painted()
    page.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.painted()
    assert page.run(f"{DRAWN}.length") == page.run("document.querySelectorAll('.plot').length")
    assert page.run("document.querySelectorAll('#trial-table tbody tr').length") == 50
    assert page.run("document.querySelectorAll('img').length") == 0
    assert {each.partition(":")[0] for each in page.requests} <= {"file", "data", "blob"}


def test_all_figures_are_on_paper(page: Browser, path: Path) -> None:
    page.look(dark=True)
    page.print(path.with_suffix(".pdf"))
    assert page.run(f"{DRAWN}.length") == page.run("document.querySelectorAll('.plot').length")
    assert page.run("document.documentElement.classList.contains('printed')") is False


def test_the_first_screen_holds_the_sentence_the_figure_and_the_arms(page: Browser) -> None:
    for selector in (".verdict", ".forest", "#arms table"):
        end = page.run(f"document.querySelector({selector!r}).getBoundingClientRect().bottom")
        assert 0 < end <= 800, selector
    assert page.run("document.documentElement.scrollWidth") <= 1280


def test_the_verdict_of_five_arms_and_its_figure_fit_the_first_screen(
    opened: Browser, tmp_path: Path
) -> None:
    results = made(tmp_path, job_text(arms="[rnn, lstm, gru, mgu, transformer]", trials=8))
    write_report(results, tmp_path / "report.html")
    opened.look()
    opened.open(tmp_path / "report.html")
    assert opened.run("document.querySelectorAll('.forest tbody tr').length") == 10
    box = "document.querySelector('.forest').getBoundingClientRect()"
    assert opened.run(f"{box}.bottom") <= 800
    assert opened.run(f"{box}.right") <= 1280
    assert opened.complaints == []


def test_ranges_and_shares_choose_lines(page: Browser) -> None:
    page.run("document.getElementById('plot-parallel').scrollIntoView()")
    page.painted()
    page.painted()

    def chosen() -> int:
        said = page.run("document.querySelector('#plot-parallel .filters > span').textContent")
        return int(said.split()[0].replace(",", ""))

    def slide(share: int) -> None:
        page.run(
            "(() => { const bar = document.querySelector('#plot-parallel [type=range]'); "
            f"bar.value = {share}; bar.oninput(); }})()"
        )
        page.painted()

    tenth = chosen()
    slide(100)
    everything = chosen()
    assert 0 < tenth < everything / 5
    box = page.run(
        "(({x, y, height}) => ({x, y, height}))"
        "(document.querySelector('#plot-parallel canvas').getBoundingClientRect())"
    )
    at = {"x": box["x"] + 46, "button": "left", "clickCount": 1}
    for kind, height in (("Pressed", 0.3), ("Moved", 0.5), ("Released", 0.5)):
        y = box["y"] + height * box["height"]
        page.ask("Input.dispatchMouseEvent", type=f"mouse{kind}", y=y, **at)
    page.painted()
    assert chosen() < everything
    page.run("document.querySelector('#plot-parallel .filters button').click()")
    assert chosen() == everything
    page.run("document.querySelector('#plot-parallel .legend input').click()")
    assert chosen() < everything
