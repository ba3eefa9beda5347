"""The configurations that arms try on the splits of a nested design: alike in every arm."""

from functools import partial
from typing import Any

from search.job.spec import JobSpec
from search.study.seeds import derive_seed
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.min_size import smallest
from spaces.sizes import parameters
from spaces.tasks import TaskInfo

ATTEMPTS = 100  #: draws before a configuration within the limit of parameters is constructed


class NestedDraws:
    """Draws configurations at random, by what they are for: equal questions, equal answers.

    A setting that arms share has the same value in them. What one arm alone is asked has a stream
    of its own, by its name.
    """

    def __init__(self, job: JobSpec, info: TaskInfo) -> None:
        self._seed, self._most = job.search.seed, job.search.constraints.parameters
        self._sizes = info.sizes
        self._drawn: dict[tuple[str, int, int], TrialConfig] = {}

    def configuration(self, arm: Arm, replicate: int, candidate: int) -> TrialConfig:
        """Return an arm's candidate of that number on the split of a replicate."""
        key = arm.name, replicate, candidate
        if key not in self._drawn:
            self._drawn[key] = self._draw(arm, replicate, candidate)
        return self._drawn[key]

    def _draw(self, arm: Arm, replicate: int, candidate: int) -> TrialConfig:
        from search.study.sampling import draw_alike  # late: who only looks needs no optuna

        given: dict[str, Any] = {}
        for attempt in range(ATTEMPTS + 1):
            if attempt == ATTEMPTS:
                given = smallest(arm, *self._sizes)[1]
            names = "nested", replicate, candidate, attempt
            config = draw_alike(arm, partial(derive_seed, self._seed, *names), given).config
            if self._most is None or parameters(config, *self._sizes) <= self._most:
                break
        return config
