"""MLflow's pages of a job's views, in a browser."""

import time

from browser import Browser

_PATIENCE = 240.0  # seconds, which only a hang reaches
#: MLflow opens a panel about its assistant at a browser's first visit.
_SEEN_BEFORE = (
    "try { localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true') } "
    "catch (error) {}"
)
#: What a view has drawn when it is drawn.
DRAWN = {
    "arms": ".js-plotly-plot .barlayer path",
    "settings": ".parcoords canvas",
    "curves": ".js-plotly-plot .scatterlayer .trace",
    "seeds": ".js-plotly-plot .scatterlayer .trace",
}


def prepare(page: Browser) -> None:
    """Size a window, and have MLflow take it for one that was here before."""
    page.look(width=1280, height=860)
    page.ask("Page.addScriptToEvaluateOnNewDocument", source=_SEEN_BEFORE)


def opened(page: Browser, address: str, view: str) -> str:
    """Open the address of a view; return the page's text once something is drawn."""
    page.ask("Page.navigate", url="about:blank")
    page.ask("Page.navigate", url=address)
    give_up = time.monotonic() + _PATIENCE
    while not page.run(f"document.querySelectorAll({DRAWN[view]!r}).length"):
        assert time.monotonic() < give_up, page.run("document.body.innerText")
        time.sleep(0.1)
    return str(page.run("document.body.innerText"))
