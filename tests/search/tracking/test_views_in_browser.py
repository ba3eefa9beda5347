"""MLflow in a real browser: the printed address opens on the arms, compared, without a click."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from mirrored_jobs import ARMS, finished_job, mirror_here
from mlflow_server import running_server
from mlflow_views import DRAWN, opened, prepare
from server_process import free_ports

from search.tracking.dashboard import tell_views
from search.tracking.database import DATABASE
from search.tracking.follower import ExitCode
from search.tracking.views import VIEWS

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(mlflow|pydantic|alembic).*"),
]


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
    with browser() as new:
        prepare(new)
        yield new


@pytest.mark.parametrize("view", VIEWS)
def test_printed_address_opens_its_view_without_a_click(
    view: str, addresses: dict[str, str], page: Browser, tmp_path: Path
) -> None:
    text = opened(page, addresses[view], view)
    assert VIEWS[view] in text
    if view == "arms":
        assert page.run(f"document.querySelectorAll({DRAWN[view]!r}).length") >= len(ARMS)
        shown = page.run("[...document.querySelectorAll('.js-plotly-plot')][0].data")
        assert sorted(each for trace in shown for each in trace["y"])
        assert "test_accuracy" in text and all(arm in text for arm in ARMS)
    if view == "settings":
        axes = page.run("[...document.querySelectorAll('.parcoords .label')].map(e => e.innerHTML)")
        assert axes[0] == "arm" and axes[-1] == "arm_number"
