"""What the live page shows of trials: items of its board, made from a job's state.

What is drawn is thinned here, so that a page of 50,000 trials is as quick as one of 50.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from search.job.spec import JobSpec
from search.journal.replay import JobState, TrialState
from search.results.format import plain
from trainables.training.curve import Epoch

CURVES = 240  #: of trials that have ended, which are drawn
POINTS = 60  #: of one curve, or of a line of the best so far
QUARTERS = 4  #: complete trials from which on there is a band


def rounded(number: float | None) -> float | None:
    """Return a number with as many digits as a drawing shows."""
    return None if number is None else float(f"{number:.5g}")


def described(trial: TrialState) -> dict[str, Any]:
    """Return a trial as the page's tables show it."""
    config = trial.config
    gates = "" if config.gates == "standard" else f" {config.gates}"
    settings = f"{config.cell}{gates}, depth {config.depth}, hidden {config.hidden_size}"
    rate = f"learning rate {plain(config.learning_rate)}"
    return {
        "key": trial.key,
        "phase": trial.phase,
        "arm": trial.arm,
        "number": trial.number,
        "control": trial.control,
        "state": "paused" if trial.paused else trial.state,
        "settings": f"{settings}, {rate}",
        "epoch": trial.epoch,
        "epochs": config.max_epochs,
        "value": rounded(trial.value),
        "seconds": round(trial.seconds, 2),
        "retries": trial.retries,
        "heard": trial.curve[-1].time if trial.curve else 0,
        "reason": trial.reason,
    }


def curve(trial: TrialState, arm: int) -> dict[str, Any]:
    """Return a learning curve: arm's place, number, state, x and y; x is None for 1, 2, ..."""
    points = thinned(trial.curve)
    whole = len(points) == len(trial.curve)
    return {
        "arm": arm,
        "number": trial.number,
        "state": trial.state,
        "x": None if whole and points[0].epoch == 1 else [point.epoch for point in points],
        "y": [rounded(point.value) for point in points],
    }


def thinned(points: Sequence[Epoch]) -> Sequence[Epoch]:
    """Return at most POINTS of some points, the first and the last among them."""
    if len(points) <= POINTS:
        return points
    return [points[place] for place in places(len(points), POINTS)]


def places(length: int, most: int) -> list[int]:
    """Return at most so many places of a list, evenly, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return [place * (length - 1) // (most - 1) for place in range(most)]


def running(job_state: JobState) -> list[TrialState]:
    """Return the trials that a worker has in hand, or is to have."""
    return [trial for trial in job_state.trials.values() if trial.active]


def curves(job: JobSpec, job_state: JobState, best: Iterable[str]) -> dict[str, Any]:
    """Return the search's learning curves that are drawn, by "curve/" and the trial's key.

    All of running trials, those of some keys (`best`), and of others every n-th by number, where n
    is a power of two: a curve that is drawn stays, until too many are.
    """
    arms = {arm.name: place for place, arm in enumerate(job.arms)}
    strong = set(best)
    found: dict[str, Any] = {}
    for name, place in arms.items():
        trials = [t for t in job_state.arm(name, "search") if t.curve]
        step = 1
        while len(trials) / step > CURVES / len(arms):
            step *= 2
        for trial in trials:
            if trial.number % step == 0 or trial.active or trial.key in strong:
                found[f"curve/{trial.key}"] = curve(trial, place)
    return found


def best_so_far(job: JobSpec, job_state: JobState) -> dict[str, Any]:
    """Return for each arm the best value of n complete trials and their middle half, over n.

    By "best/" and the arm's place: {"x": numbers of complete trials, "y": the best of them, "low"
    and "high": their quartiles or None, "trial": the best one's key, or None}. Trials that were
    stopped have early values, which count for nothing here.
    """
    assert job_state.info is not None
    found: dict[str, Any] = {}
    for place, arm in enumerate(job.arms):
        trials = [
            trial
            for trial in job_state.arm(arm.name, "search")
            if trial.state == "complete" and trial.value is not None
        ]
        rows = list(_best(trials, job_state))
        shown = [rows[at] for at in places(len(rows), POINTS)]
        x, y, low, high, keys = zip(*shown, strict=True) if shown else ((), (), (), (), ())
        found[f"best/{place}"] = {
            "x": list(x),
            "y": list(y),
            "low": list(low),
            "high": list(high),
            "trial": keys[-1] if keys else None,
        }
    return found


def _best(
    trials: Sequence[TrialState], job_state: JobState
) -> Iterator[tuple[int, float | None, float | None, float | None, str]]:
    """Yield number of trials, best value, quartiles and the best one's key, trial by trial."""
    assert job_state.info is not None
    metric = job_state.info.metric
    ordered: list[float] = []
    best: TrialState | None = None
    for number, trial in enumerate(trials, 1):
        assert trial.value is not None
        bisect.insort(ordered, trial.value)
        if best is None or _rank(trial, metric.cost(trial.value)) < _rank(
            best, metric.cost(best.value or 0.0)
        ):
            best = trial
        quartiles: tuple[float | None, float | None] = (None, None)
        if number >= QUARTERS:
            quartiles = ordered[(number - 1) // 4], ordered[(3 * (number - 1) + 3) // 4]
        yield number, rounded(best.value), rounded(quartiles[0]), rounded(quartiles[1]), best.key


def _rank(trial: TrialState, cost: float) -> tuple[float, float]:
    return cost, trial.loss
