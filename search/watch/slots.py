"""What each worker does, by what the driver says of now, or else by the journal."""

from collections.abc import Mapping, Sequence
from typing import Any

from search.journal.replay import TrialState
from search.run.now import Now
from search.watch.items import described

TRIALS = 4  #: of one worker, which are shown
SLOTS = 64  #: workers that are shown


class Lanes:
    """A place on the page for each running trial, in which it stays, where workers are unknown."""

    def __init__(self) -> None:
        self._lanes: list[str | None] = []

    def of(self, keys: Sequence[str]) -> list[list[str]]:
        """Return the lanes, each with the key of its trial or empty."""
        running = set(keys)
        self._lanes = [key if key in running else None for key in self._lanes]
        placed = {key for key in self._lanes if key}
        for key in keys:
            if key not in placed:
                free = next((n for n, held in enumerate(self._lanes) if held is None), None)
                if free is None:
                    self._lanes.append(key)
                else:
                    self._lanes[free] = key
        while self._lanes and self._lanes[-1] is None:
            self._lanes.pop()
        return [[key] if key else [] for key in self._lanes]


def slot_items(
    running: Sequence[TrialState], trials: Mapping[str, TrialState], now: Now | None, lanes: Lanes
) -> dict[str, Any]:
    """Return the slots by "slot/" and their number, and "slots": how many, by whose word.

    now: what the driver says; None where it does not run or cannot be heard.
    """
    held = lanes.of([trial.key for trial in running]) if now is None else now.slots
    found: dict[str, Any] = {}
    for number, keys in enumerate(held[:SLOTS]):
        known = [trials[key] for key in keys if key in trials and trials[key].active]
        shown = [described(trial) for trial in known[:TRIALS]]
        found[f"slot/{number:03}"] = {"trials": shown, "more": len(known) - len(shown)}
    found["slots"] = {
        "shown": len(found),
        "held": len(held),
        "told": now is not None,
        "could_begin": None if now is None else now.could_begin,
    }
    return found
