"""CMA-ES for one arm (Hansen, "The CMA Evolution Strategy: A Tutorial", 2016), by package cmaes.

Optuna's sampler stores its state in the study as a pickle. This one stores only numbers of trials:
the first trial of a generation carries the numbers of the trials that closed the generation before
it. The state is restored by showing them to the model again, in that order.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from cmaes import CMA, get_warm_start_mgd
from numpy.typing import ArrayLike
from optuna.trial import FrozenTrial, TrialState

from search.study.sampling import distribution, place_of, value_at
from search.study.seeds import derive_seed
from spaces.arms import Arm

GENERATION = "cma:generation"
CLOSED = "cma:closed"  #: numbers of the trials that closed the generation before

_SPREAD = 1 / 6  #: of the first generation, in units of each range
_TOP = 0.1  #: share of prior trials that the first generation starts from
_MAX_GROWTH = 4.0  #: the largest population, in units of the first one


class CmaEs:
    """The distribution that an arm's next configurations are drawn from. Every range is [0, 1]."""

    def __init__(
        self,
        arm: Arm,
        seed: int,
        rank: Callable[[FrozenTrial], tuple[float, ...]],
        prior_trials: Sequence[FrozenTrial] = (),
    ) -> None:
        """seed: of the arm. rank: the key that sorts ended trials, best first.

        prior_trials: of a prior job; the first generation is drawn around the best of them.
        """
        self._space = {name: distribution(domain) for name, domain in arm.domains().items()}
        self._seed = seed
        self._rank = rank
        self._population = 4 + math.floor(3 * math.log(len(self._space)))
        self._largest = _MAX_GROWTH * self._population
        self._restarts = 0
        self._generation = 0
        self._trials: dict[int, FrozenTrial] = {}  # ended ones of the latest generation
        self._model = (
            self._around(prior_trials) if prior_trials else self._start([0.5] * len(self._space))
        )

    def restore(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in all stored trials of the arm."""
        by_number = {trial.number: trial for trial in trials}
        for trial in trials:
            if CLOSED in trial.system_attrs:
                self._close([by_number[number] for number in trial.system_attrs[CLOSED]])
        for trial in trials:
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                self.ended(trial)

    def begin(self) -> dict[str, Any]:
        """Return the attributes of a new trial; close the generation once enough have ended."""
        attributes: dict[str, Any] = {}
        if len(self._trials) >= self._population:
            closed = sorted(self._trials)[: self._population]
            self._close([self._trials[number] for number in closed])
            attributes[CLOSED] = closed
        attributes[GENERATION] = self._generation
        return attributes

    def suggest(self, seed: int) -> dict[str, Any]:
        """Return values for all parameters, as Optuna stores them."""
        self._model.reseed_rng(seed)
        point = self._model.ask()
        return {
            name: value_at(self._space[name], float(x))
            for name, x in zip(self._space, point, strict=True)
        }

    def ended(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended complete or pruned."""
        if trial.system_attrs.get(GENERATION) == self._generation:
            self._trials[trial.number] = trial

    def _close(self, trials: list[FrozenTrial]) -> None:
        ranked = sorted(trials, key=lambda trial: (self._rank(trial), trial.number))
        self._model.tell([(self._point(trial), float(n)) for n, trial in enumerate(ranked)])
        self._generation += 1
        self._trials = {}
        if self._model.should_stop():  # it has converged: begin elsewhere, with larger generations
            self._restarts += 1
            self._population = int(min(2 * self._population, self._largest))
            seed = derive_seed(self._seed, "restart", self._restarts)
            self._model = self._start(np.random.default_rng(seed).uniform(size=len(self._space)))

    def _around(self, trials: Sequence[FrozenTrial]) -> CMA:
        ranked = sorted(trials, key=lambda trial: (self._rank(trial), trial.number))
        points = [(self._point(trial), float(n)) for n, trial in enumerate(ranked)]
        if len(points) * _TOP < 1:
            return self._start(points[0][0])
        mean, spread, covariance = get_warm_start_mgd(points, gamma=_TOP)
        return self._start(np.clip(mean, 0.0, 1.0), spread, covariance)

    def _start(
        self, mean: ArrayLike, spread: float = _SPREAD, covariance: np.ndarray | None = None
    ) -> CMA:
        return CMA(
            mean=np.asarray(mean, dtype=float),
            sigma=spread,
            bounds=np.array([[0.0, 1.0]] * len(self._space)),
            population_size=self._population,
            cov=covariance,
            seed=self._seed,
        )

    def _point(self, trial: FrozenTrial) -> np.ndarray:
        return np.array([place_of(self._space[name], trial.params[name]) for name in self._space])
