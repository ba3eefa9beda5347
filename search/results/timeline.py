"""When each trial was trained, beside which others: from the times that epochs were reported at."""

from collections.abc import Sequence
from dataclasses import dataclass

from search.journal.trial import TrialResult

#: Seconds between two epochs of a trial that are a pause: its worker or the job was away.
PAUSE = 60.0


@dataclass(frozen=True)
class Stretch:
    """A time in which a trial was trained without a pause."""

    row: int  #: of the trial among those that were given
    start: float  #: seconds since the first one of all began
    end: float
    lane: int  #: stretches of one lane do not overlap


@dataclass(frozen=True)
class Timeline:
    """All stretches in order of their start; pauses of the whole job are cut out."""

    stretches: tuple[Stretch, ...]
    began: int  #: Unix time in milliseconds
    length: float  #: seconds, without pauses
    cuts: tuple[tuple[float, float], ...]  #: where a pause of the job was, and its seconds

    @property
    def lanes(self) -> int:
        """How many trials were trained at once, at most."""
        return 1 + max((stretch.lane for stretch in self.stretches), default=-1)

    @property
    def at_once(self) -> float:
        """How many trials were trained at once, on average."""
        busy = sum(stretch.end - stretch.start for stretch in self.stretches)
        return busy / self.length if self.length else 0.0


def timeline(trials: Sequence[TrialResult]) -> Timeline:
    """Return when the trials were trained; those without times, of an early version, are left out.

    The journal knows when an epoch ended and how long it took, and of no worker which trial it had:
    a lane is the first one that is free.
    """
    spans = sorted(
        (start, end, row) for row, trial in enumerate(trials) for start, end in _spans(trial)
    )
    if not spans:
        return Timeline((), 0, 0.0, ())
    began = spans[0][0]
    stretches: list[Stretch] = []
    free: list[float] = []  # when each lane is
    cuts: list[tuple[float, float]] = []
    away, latest = 0.0, began
    for start, end, row in spans:
        if start - latest > PAUSE:
            cuts.append((latest - began - away, start - latest))
            away += start - latest
        latest = max(latest, end)
        lane = next((n for n, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [end]
        stretches.append(Stretch(row, start - began - away, end - began - away, lane))
    length = latest - began - away
    return Timeline(tuple(stretches), round(1000 * began), length, tuple(cuts))


def _spans(trial: TrialResult) -> list[tuple[float, float]]:
    """Return the times in which a trial was trained, in seconds of Unix time."""
    spans: list[tuple[float, float]] = []
    for epoch in trial.curve:
        if not epoch.time:
            continue
        start, end = epoch.time / 1000 - epoch.seconds, epoch.time / 1000
        if spans and start - spans[-1][1] <= PAUSE:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return spans
