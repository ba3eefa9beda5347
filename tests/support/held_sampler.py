"""A sampler of the user's own that takes as long as a test wants it to."""

import threading
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

go = threading.Event()  #: suggestions wait for it
shown: list[list[tuple[int, str, int | None]]] = []  #: of each: number, state, last step of trials


class Held(RandomSampler):
    """Draws at random once it is let go, and notes which trials it was shown."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Wait, look, and leave all to independent draws."""
        assert go.wait(60)
        trials = study.get_trials(deepcopy=False)
        shown.append([(t.number, t.state.name, t.last_step) for t in trials])
        return {}


class Broken(RandomSampler):
    """Cannot suggest anything."""

    def sample_independent(self, *args: Any) -> Any:
        """Raise."""
        raise ZeroDivisionError("out of ideas")
