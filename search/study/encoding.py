"""An arm's configurations as points: what a model of distances reads, and candidates drawn in it.

A number is its place in its range; a choice has a column for each value, so that two values are as
far apart as the ends of a range; a setting that some configurations lack has one more column, and
those that lack it stand in its middle. So distances are Euclidean, and a kernel of them is one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.special import ndtr, ndtri

from search.study.learning_rates import LearningRates
from search.study.sampling import Answers, Sample, bounds, distribution, place_of, value_at
from spaces.arms import Arm
from spaces.domains import Domain

Floats = NDArray[np.float64]

_LEAST_MASS = 1e-3  #: of good learning rates in a range, or else nothing is known of it


class Encoding:
    """The columns of one arm's configurations. K candidates have a place for each of P settings."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._domains = {name: distribution(domain) for name, domain in arm.domains().items()}
        self._choices = {
            place: of.choices
            for place, of in enumerate(self._domains.values())
            if isinstance(of, CategoricalDistribution)
        }
        self._asked: dict[tuple[int, ...], frozenset[str]] = {}  # by the numbers of choices
        of_column: list[int] = []
        for place in range(len(self._domains)):
            of_column += [place] * (len(self._choices.get(place, "x")) + 1)
        self.setting_of_column = np.array(of_column, dtype=np.int64)

    @property
    def settings(self) -> int:
        """How many settings there are."""
        return len(self._domains)

    def setting(self, name: str) -> int | None:
        """Return the number of a setting, if it is searched."""
        names = list(self._domains)
        return names.index(name) if name in names else None

    def favoured(self, uniform_KP: Floats, rates: LearningRates) -> Floats:
        """Return places [K, P] whose learning rates are drawn from those that are thought good.

        uniform_KP: uniform draws; the other settings stay as they are.
        """
        place = self.setting("learning_rate")
        if place is None or not isinstance(of := self._domains["learning_rate"], FloatDistribution):
            return uniform_KP
        ends = (np.log10([of.low, of.high]) - rates.mean) / rates.deviation
        low, high = ndtr(ends)
        if high - low < _LEAST_MASS:
            return uniform_KP
        deviations = ndtri(low + uniform_KP[:, place] * (high - low)).clip(*ends)
        drawn = uniform_KP.copy()
        rate_K = 10 ** (rates.mean + rates.deviation * deviations)
        drawn[:, place] = [place_of(of, rate) for rate in rate_K]
        return drawn.clip(0, 1 - 1e-9)

    def away(self, columns_NC: Floats, rates: LearningRates) -> Floats:
        """Return how far configurations are from learning rates that are thought good."""
        place = self.setting("learning_rate")
        if place is None or not isinstance(of := self._domains["learning_rate"], FloatDistribution):
            return np.zeros(len(columns_NC))
        low, high, log = bounds(of)
        rate_N = low + columns_NC[:, self.setting_of_column == place][:, 0] * (high - low)
        return rates.away(rate_N / np.log(10) if log else np.log10(rate_N))

    def columns(self, params: Mapping[str, Any]) -> Floats:
        """Return the columns [C] of a configuration, given as Optuna stores it."""
        found: list[float] = []
        for place, (name, of) in enumerate(self._domains.items()):
            choices = self._choices.get(place)
            if name not in params:
                middle = [1 / len(choices)] * len(choices) if choices else [0.5]
                found += [x * 2**-0.5 if choices else x for x in middle] + [1.0]
            elif choices:
                chosen = choices.index(params[name])
                found += [(number == chosen) * 2**-0.5 for number in range(len(choices))] + [0.0]
            else:
                found += [place_of(of, params[name]), 0.0]
        return np.array(found)

    def sample(self, places: Sequence[float]) -> Sample:
        """Return the configuration at a place in [0, 1) for each setting."""
        at = dict(zip(self._domains, places, strict=True))

        def answer(name: str, domain: Domain) -> Any:
            return value_at(self._domains[name], float(at[name]))

        return Answers(answer).configure(self._arm)

    def places(self, params: Mapping[str, Any]) -> Floats:
        """Return the place [P] of a configuration; the middle for settings that it lacks."""
        found = np.full(self.settings, 0.5)
        for place, (name, of) in enumerate(self._domains.items()):
            if name in params:
                choices = self._choices.get(place)
                found[place] = (
                    (choices.index(params[name]) + 0.5) / len(choices)
                    if choices
                    else place_of(of, params[name])
                )
        return found

    def columns_at(self, places_KP: Floats) -> Floats:
        """Return the columns [K, C] of candidates. Whole numbers are not rounded."""
        chosen_KP = np.stack(
            [
                (places_KP[:, place] * len(choices)).astype(int)
                for place, choices in self._choices.items()
            ]
            or [np.zeros(len(places_KP), dtype=int)],
            axis=1,
        )
        branches, first, branch_K = np.unique(
            chosen_KP, axis=0, return_index=True, return_inverse=True
        )
        asked = [
            self._asked_at(tuple(branch), places_KP[row])
            for branch, row in zip(branches.tolist(), first, strict=True)
        ]
        blocks = [np.zeros((len(places_KP), 0))]
        for place, name in enumerate(self._domains):
            lacks = np.array([name not in names for names in asked])[branch_K.ravel()]
            choices = self._choices.get(place)
            if choices:
                number = (places_KP[:, place] * len(choices)).astype(int)
                block = (number[:, None] == np.arange(len(choices))) * 2**-0.5
                block[lacks] = 2**-0.5 / len(choices)
            else:
                block = np.where(lacks, 0.5, places_KP[:, place])[:, None]
            blocks += [block, lacks[:, None].astype(float)]
        return np.concatenate(blocks, axis=1)

    def _asked_at(self, chosen: tuple[int, ...], places: Floats) -> frozenset[str]:
        """Return the settings that configurations with these choices have."""
        if chosen not in self._asked:
            self._asked[chosen] = frozenset(self.sample(places.tolist()).values)
        return self._asked[chosen]

    def neighbours(
        self, places_P: Floats, number: int, spread: float, rng: np.random.Generator
    ) -> Floats:
        """Return candidates [number, P] near a place: some settings are moved, or chosen anew."""
        moved = rng.random((number, self.settings)) < max(0.5, 1.5 / max(1, self.settings))
        near = places_P + spread * rng.standard_normal((number, self.settings))
        near = np.abs(near)
        near = np.where(near > 1, 2 - near, near).clip(0, 1 - 1e-9)
        for place in self._choices:
            near[:, place] = rng.random(number)
            moved[:, place] &= rng.random(number) < 0.4
        return np.where(moved, near, places_P)
