"""What a running job shows: arms, trials by state, the best, time left, what it waits for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from search.journal.replay import TrialState
from search.run.budgets import STATES
from search.run.driver import Driver
from search.run.lines import lines_shown
from search.run.standing import clock, seconds_left
from trainables.patience import waits


@contextmanager
def shown(driver: Driver, console: Console) -> Iterator[None]:
    """Show progress while the block runs: a live table on a terminal, lines elsewhere."""
    progress = _Progress(driver)
    if console.is_terminal:
        with Live(get_renderable=progress.table, console=console, refresh_per_second=2):
            yield
        return
    with lines_shown(progress.line, console):
        yield


class _Progress:
    """Reads the driver's counts; only ever reads, so that it may do so from another thread."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._began = time.monotonic()
        self._working: float | None = None  # when the first epoch was reported
        self._ended_before = sum(e.state != "running" for e in driver.job_state.trials.values())

    def table(self) -> RenderableType:
        driver = self._driver
        assert driver.job_state.info is not None
        trials = list(driver.job_state.trials.values())
        phase = driver.job_state.phase
        title = f"{driver.job.name}: {phase}, {self._clock(trials)}"
        table = Table(title=title, caption=escape("\n".join(waits())) or None)
        table.add_column("arm", style="bold")
        for name in ("spent", *STATES):
            table.add_column(name, justify="right")
        table.add_column(f"best {driver.job_state.info.metric.name}", justify="right")
        if phase != "search":
            table.add_column("confirmed", justify="right")
        for arm in driver.job.arms:
            count = driver.budgets.states(arm.name)
            best = next(iter(driver.confirmation.best(arm.name, 1)), None)
            row = [
                arm.name,
                f"{self._done(arm.name)} of {driver.budgets.amount:g} {driver.budgets.unit}",
                *(str(count[state]) for state in STATES),
                "-" if best is None or best.value is None else f"{best.value:.4g}",
            ]
            if phase != "search":
                confirmed = driver.confirmation.states(arm.name)
                row.append(f"{confirmed['complete']} of {driver.confirmation.replicates}")
            table.add_row(*row)
        return table

    def line(self) -> str:
        driver, budgets = self._driver, self._driver.budgets
        trials = list(driver.job_state.trials.values())
        arms = []
        for arm in driver.job.arms:
            if driver.job_state.phase == "confirm":
                states = driver.confirmation.states(arm.name)
                ended = states.total() - states["running"]
                arms.append(f"{arm.name} {ended}/{driver.confirmation.replicates}")
                continue
            states = budgets.states(arm.name)
            paused = f"{states['paused']} paused, " if states["paused"] else ""
            best = next(iter(driver.confirmation.best(arm.name, 1)), None)
            value = "" if best is None or best.value is None else f", best {best.value:.4g}"
            arms.append(
                f"{arm.name} {self._done(arm.name)}/{budgets.amount:g} {budgets.unit} "
                f"({states['running']} running, {paused}{states['pruned']} pruned{value})"
            )
        parts = [*arms, self._clock(trials), *waits()]
        return f"{driver.job_state.phase}: {'; '.join(parts)}"

    def _done(self, arm: str) -> str:
        """Return what of its budget an arm has behind it."""
        if self._driver.budgets.unit != "trials":
            return f"{self._driver.budgets.spent(arm):.4g}"
        count = self._driver.budgets.states(arm)
        return str(count.total() - count["running"] - count["paused"])

    def _clock(self, trials: list[TrialState]) -> str:
        now = time.monotonic()
        if self._working is None and any(trial.epoch for trial in trials):
            self._working = now
        elapsed = now - self._began
        if self._working is None:
            return f"starting Ray and its workers, {clock(elapsed)} elapsed"
        left = self._seconds_left(trials, now - self._working)
        return f"{clock(elapsed)} elapsed" + ("" if left is None else f", about {clock(left)} left")

    def _seconds_left(self, trials: list[TrialState], worked: float) -> float | None:
        """Extrapolate from the rate of this session; None while there is nothing to go by."""
        driver = self._driver
        ended = [trial for trial in trials if trial.state != "running"]
        here = len(ended) - self._ended_before
        if here < 2:
            return None
        rate = worked / max(1e-9, sum(e.seconds for e in ended[-here:]))
        return seconds_left(driver.job, driver.budgets, driver.confirmation, ended, rate)
