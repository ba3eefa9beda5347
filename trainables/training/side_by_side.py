"""Cohorts that advance at the same time on one card, each on a stream of its own.

One small model, or a few, leave most of a card idle. Here one thread gives the card the work of
all cohorts, a part of an epoch at a time, and goes on with those whose part has ended.
"""

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from trainables.training.advancing import Advancing

_ENDED = object()
#: Streams of a card, and cohorts that train at the same time at most.
LANES = 8
#: Seconds between two looks whether a part has ended: less than any takes.
PAUSE = 5e-5


@functools.cache
def _streams(device: torch.device) -> Iterator[torch.cuda.Stream]:
    """Yield the streams of a card in turn, for ever: libraries keep memory for each."""
    streams = [torch.cuda.Stream(device) for _ in range(LANES)]  # type: ignore[no-untyped-call]
    return itertools.cycle(streams)


class Lane:
    """The stream of one cohort, on which all its work is done; on a CPU there is none."""

    def __init__(self, device: torch.device) -> None:
        on_card = device.type == "cuda"
        self._stream = next(_streams(device)) if on_card else None
        self._event = torch.cuda.Event() if on_card else None  # type: ignore[no-untyped-call]

    @property
    def ready(self) -> bool:
        """Whether the device has ended what it was given."""
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    def epoch(self, cohort: Advancing) -> Iterator[None]:
        """Train an epoch of a cohort; to be resumed when ready. At its end the device is done."""
        if self._stream is None or self._event is None:
            yield from cohort.epoch()
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        parts = cohort.epoch()
        while True:
            with torch.cuda.stream(self._stream):
                if next(parts, _ENDED) is _ENDED:
                    break
                self._event.record(self._stream)
            yield
        self._stream.synchronize()


def advance(
    cohorts: Sequence[Advancing],
    lanes: Sequence[Lane],
    goes_on: Callable[[int], bool],
    failed: Callable[[int, Exception], None],
) -> None:
    """Train epochs of cohorts side by side, until one does not go on; then all end their epoch.

    lanes: each cohort's own, always. goes_on: whether all go on, asked with a cohort's number
    after each of its epochs. failed: told of an exception and whose it is; the others end then.
    """
    on = True

    def epochs(number: int) -> Iterator[None]:
        nonlocal on
        cohort = cohorts[number]
        while on and not all(member.ended for member in cohort.members):
            yield from lanes[number].epoch(cohort)
            on = goes_on(number) and on
            yield  # the others' turn

    whole = sum(len(cohort.members) for cohort in cohorts)
    for cohort in cohorts:
        cohort.beside = whole - len(cohort.members)
    running = {number: epochs(number) for number in range(len(cohorts))}
    while running:
        ready = [number for number in running if lanes[number].ready]
        if not ready:
            time.sleep(PAUSE)
        for number in ready:
            try:
                ended = next(running[number], _ENDED) is _ENDED
            except Exception as error:
                failed(number, error)
                on, ended = False, True
            if ended:
                del running[number]
    for cohort in cohorts:
        cohort.beside = 0
