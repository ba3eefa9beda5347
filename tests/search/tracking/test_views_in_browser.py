"""MLflow in a real browser: the printed address opens on the arms, compared, without a click."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from mirrored_jobs import ARMS, finished_job, mirror_here
from mlflow_server import running_server
from server_process import free_ports

from search.tracking.dashboard import tell_views
from search.tracking.database import DATABASE
from search.tracking.follower import ExitCode
from search.tracking.views import VIEWS

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*"),
]
_PATIENCE = 240.0  # seconds, which only a hang reaches
#: MLflow opens a panel about its assistant at a browser's first visit.
_SEEN_BEFORE = (
    "try { localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true') } "
    "catch (error) {}"
)
#: What a view has drawn when it is drawn.
_DRAWN = {
    "arms": ".js-plotly-plot .barlayer path",
    "settings": ".parcoords canvas",
    "curves": ".js-plotly-plot .scatterlayer .trace",
    "seeds": ".js-plotly-plot .scatterlayer .trace",
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory, schema: Path) -> Iterator[dict[str, str]]:
    """The addresses that the dashboard prints for a finished job, by view, while it serves them."""
    root = tmp_path_factory.mktemp("runs")
    job = finished_job(root / "vowels", tmp_path_factory.mktemp("trained"))
    shutil.copy(schema, root / DATABASE)
    assert mirror_here(job.folder) == ExitCode.COMPLETE
    with running_server(root, free_ports(1)[0]) as server, pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text: lines.append(text))
        tell_views(root, server, None)
        assert lines.pop(0) == "vowels:"
        yield dict(zip(VIEWS, (line.split()[-1] for line in lines), strict=True))


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with browser() as opened:
        opened.look(width=1280, height=860)
        opened.ask("Page.addScriptToEvaluateOnNewDocument", source=_SEEN_BEFORE)
        yield opened


def opened(page: Browser, address: str, selector: str) -> str:
    """Open an address; return the page's text once something is drawn."""
    page.ask("Page.navigate", url="about:blank")
    page.ask("Page.navigate", url=address)
    give_up = time.monotonic() + _PATIENCE
    while not page.run(f"document.querySelectorAll({selector!r}).length"):
        assert time.monotonic() < give_up, page.run("document.body.innerText")
        time.sleep(0.1)
    return str(page.run("document.body.innerText"))


@pytest.mark.parametrize("view", VIEWS)
def test_printed_address_opens_its_view_without_a_click(
    view: str, addresses: dict[str, str], page: Browser, tmp_path: Path
) -> None:
    text = opened(page, addresses[view], _DRAWN[view])
    assert VIEWS[view] in text
    if view == "arms":
        assert page.run(f"document.querySelectorAll({_DRAWN[view]!r}).length") >= len(ARMS)
        shown = page.run("[...document.querySelectorAll('.js-plotly-plot')][0].data")
        assert sorted(each for trace in shown for each in trace["y"])
        assert "test_accuracy" in text and all(arm in text for arm in ARMS)
    if view == "settings":
        axes = page.run("[...document.querySelectorAll('.parcoords .label')].map(e => e.innerHTML)")
        assert axes[0] == "arm" and axes[-1] == "arm_number"
