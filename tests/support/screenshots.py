"""Makes the pictures of the README files, of the quickstart: python tests/support/screenshots.py

It takes the job two minutes, and Chromium. Look at the pictures before they are committed.
"""

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from browser import Browser, browser
from installed import GATESEARCH, running
from live_page import Events, watching
from mlflow_views import opened, prepare
from PIL import Image
from server_process import free_ports
from waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
VIEWS = REPOSITORY / "tests" / "data" / "mlflow"
LIVE = REPOSITORY / "tests" / "data" / "watch" / "live.png"
SCALE = 0.8  #: pixels for one of the page's
COLOURS = 64
SHOWN = ("arms", "settings", "curves")  #: views, in the order in which they are printed
TRIALS = 62  #: of the search's 72, which have begun when the live page is taken
CALM = 3.0  #: seconds in which MLflow draws what it has begun
WAIT = 600.0  # seconds, a bound that only a hang reaches


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as scratch, browser() as page:
        folder = Path(scratch)
        os.environ["GATESEARCH_CACHE"] = str(folder / "cache")  # other jobs are none of its own
        prepare(page)
        job = REPOSITORY / "deploy" / "jobs" / "quickstart.yaml"
        with running("run", job, cwd=folder) as process:
            begun = folder / "runs" / "quickstart" / "job.journal"
            wait_until(lambda: begun.exists() or process.poll() is not None, "the job begins")
            with watching("quickstart", folder=folder) as (port, token, _):
                take_live(page, port, token)
            assert process.wait(WAIT) == 0
        take_views(page, folder)
    for path in (LIVE, *(VIEWS / f"{view}.png" for view in SHOWN)):
        print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes")


def take_live(page: Browser, port: int, token: str) -> None:
    """Take the live page while the search is at work."""
    page.look(width=1280, height=1180)
    page.ask("Page.navigate", url=f"http://127.0.0.1:{port}/#token={token}")
    events = Events(port)
    events.wait(lambda items: (items.get("head") or {}).get("trials", 0) >= TRIALS, "trials", WAIT)
    events.close()
    page.painted()
    take(page, LIVE)


def take_views(page: Browser, folder: Path) -> None:
    """Take MLflow's pages, at the addresses that the dashboard prints."""
    command = [GATESEARCH, "dashboard", "quickstart", "--port", str(*free_ports(1)), "--no-open"]
    page.look(width=1280, height=860)
    dashboard = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert dashboard.stdout is not None
        addresses = []
        for line in dashboard.stdout:
            addresses += re.findall(r"http://\S+viewStateShareKey\S+", line)
            if len(addresses) >= len(SHOWN):
                break
        for view, address in zip(SHOWN, addresses, strict=False):
            opened(page, address, view)
            time.sleep(CALM)
            take(page, VIEWS / f"{view}.png")
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=60)


def take(page: Browser, path: Path) -> None:
    """Write what is seen as a small PNG."""
    path.parent.mkdir(exist_ok=True)
    page.screenshot(path, scale=SCALE)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
