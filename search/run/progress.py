"""What a running job shows: arms, trials by state, the best so far, the time left."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from search.journal.replay import TrialState
from search.run.driver import Driver

PLAIN_SECONDS = 10.0  #: between two lines where the output is not a terminal


@contextmanager
def shown(driver: Driver, console: Console) -> Iterator[None]:
    """Show progress while the block runs: a live table on a terminal, lines elsewhere."""
    view = _View(driver)
    if console.is_terminal:
        with Live(get_renderable=view.table, console=console, refresh_per_second=2):
            yield
        return
    stop = threading.Event()
    printer = threading.Thread(target=_print_lines, args=(view, console, stop), daemon=True)
    printer.start()
    try:
        yield
    finally:
        stop.set()
        printer.join()


def _print_lines(view: "_View", console: Console, stop: threading.Event) -> None:
    shown_last = ""
    while not stop.is_set():
        line = view.line()
        if line != shown_last:
            console.print(line, highlight=False, soft_wrap=True)
            shown_last = line
        stop.wait(PLAIN_SECONDS)


class _View:
    """Reads the driver's counts; only ever reads, so that it may do so from another thread."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._began = time.monotonic()
        self._working: float | None = None  # when the first epoch was reported
        self._ended_before = sum(e.state != "running" for e in driver.job_state.trials.values())

    def table(self) -> RenderableType:
        driver = self._driver
        assert driver.job_state.info is not None
        entries = list(driver.job_state.trials.values())
        phase = driver.job_state.phase
        table = Table(title=f"{driver.job.name}: {phase}, {self._clock(entries)}")
        table.add_column("arm", style="bold")
        for name in ("spent", "running", "complete", "pruned", "diverged", "failed"):
            table.add_column(name, justify="right")
        table.add_column(f"best {driver.job_state.info.metric.name}", justify="right")
        if phase != "search":
            table.add_column("confirmed", justify="right")
        for arm in driver.job.arms:
            count = driver.counts("search", arm.name)
            best = next(iter(driver.finalists(arm.name, 1)), None)
            row = [
                arm.name,
                f"{self._done(arm.name)} of {driver.budget:g} {driver.unit}",
                *(str(count[s]) for s in ("running", "complete", "pruned", "diverged", "failed")),
                "-" if best is None or best.value is None else f"{best.value:.4g}",
            ]
            if phase != "search":
                confirmed = driver.counts("confirm", arm.name)
                row.append(f"{confirmed['complete']} of {driver.replicates}")
            table.add_row(*row)
        return table

    def line(self) -> str:
        driver = self._driver
        entries = list(driver.job_state.trials.values())
        phase = "confirm" if driver.job_state.phase == "confirm" else "search"
        arms = []
        for arm in driver.job.arms:
            count = driver.counts(phase, arm.name)
            ended = count.total() - count["running"]
            if phase == "confirm":
                arms.append(f"{arm.name} {ended}/{driver.replicates}")
                continue
            best = next(iter(driver.finalists(arm.name, 1)), None)
            value = "" if best is None or best.value is None else f", best {best.value:.4g}"
            arms.append(
                f"{arm.name} {self._done(arm.name)}/{driver.budget:g} {driver.unit} "
                f"({count['running']} running, {count['pruned']} pruned{value})"
            )
        return f"{driver.job_state.phase}: {'; '.join(arms)}; {self._clock(entries)}"

    def _done(self, arm: str) -> str:
        """Return what of its budget an arm has behind it."""
        if self._driver.unit != "trials":
            return f"{self._driver.spent(arm):.4g}"
        count = self._driver.counts("search", arm)
        return str(count.total() - count["running"])

    def _clock(self, entries: list[TrialState]) -> str:
        now = time.monotonic()
        if self._working is None and any(entry.epoch for entry in entries):
            self._working = now
        elapsed = now - self._began
        if self._working is None:
            return f"starting Ray and its workers, {_clock(elapsed)} elapsed"
        left = self._seconds_left(entries, now - self._working)
        return f"{_clock(elapsed)} elapsed" + (
            "" if left is None else f", about {_clock(left)} left"
        )

    def _seconds_left(self, entries: list[TrialState], worked: float) -> float | None:
        """Extrapolate from the rate of this session; None while there is nothing to go by."""
        driver = self._driver
        ended = [entry for entry in entries if entry.state != "running"]
        here = len(ended) - self._ended_before
        complete = [entry.seconds for entry in ended if entry.state == "complete"]
        if here < 2 or not complete:
            return None
        wall_per_worker_second = worked / max(1e-9, sum(e.seconds for e in ended[-here:]))
        search = [entry for entry in ended if entry.phase == "search"]
        mean = sum(entry.seconds for entry in search) / max(1, len(search))
        spent = sum(min(driver.spent(arm.name), driver.budget) for arm in driver.job.arms)
        unspent = driver.budget * len(driver.job.arms) - spent
        per_unit = {"trials": mean, "s": 1.0, "epochs": mean / max(1, _mean_epochs(search))}
        replicates = driver.replicates * len(driver.job.arms)
        replicates -= sum(entry.phase == "confirm" for entry in ended)
        work = unspent * per_unit[driver.unit] + replicates * sum(complete) / len(complete)
        return work * wall_per_worker_second


def _mean_epochs(entries: list[TrialState]) -> float:
    return sum(entry.epoch for entry in entries) / max(1, len(entries))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
