"""Whether a paused trial goes on or a new one begins, and with which: from unfinished curves.

After every slice of training a Gaussian process (curve_model.py) says where curves go, those of new
configurations too: freeze-thaw (Swersky, Snoek & Adams 2014). What gets the next slice is what most
probably improves on the best value by some margin within some epochs, both drawn anew for every
decision: a short look ahead favours curves that fall now, a long one favours what is unknown
(Rakotoarison et al. 2024, section 4.2). Where a search may spend seconds, not epochs, the look
ahead is as long in time for all: what trains fast goes more epochs in it.

A search begins with configurations that fill the space, but for the learning rate, which is drawn
from those that are good elsewhere (learning_rates.py); the model's mean knows of them too.

Values are seen through a logarithm that spreads those near the best; all that is worse than an
untrained model is the same. A diverged trial counts as that, and what is like diverged trials has
the less of a chance. What other workers have in hand counts as if its curve ended where it is
expected to. The model reads a bounded part of the
curves: the best, the latest, some of the others; so that a decision costs about the same however
many there are. Its hyperparameters are fitted whenever a quarter more was seen, and stored with the
study: a resumed job goes on with them.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial
from scipy.special import stdtr
from scipy.stats.qmc import Sobol

from search.study.curve_model import CurveModel, Points, Posterior
from search.study.encoding import Encoding
from search.study.epoch_costs import EpochCosts
from search.study.learning_rates import LearningRates
from search.study.sampling import Sample
from search.study.slices import slice_ends
from spaces.arms import Arm

Floats = NDArray[np.float64]

FITTED = "freeze-thaw:fitted"  #: study attribute: logarithms of the hyperparameters
FITTED_AT = "freeze-thaw:fitted_at"  #: study attribute: how many epochs had been seen then

BEST, LATEST, OTHERS = 50, 20, 20  #: curves that the model reads
FIT_POINTS = 100  #: values that hyperparameters are fitted on, at most
FIRST_EVALUATIONS, EVALUATIONS = 40, 12  #: of the likelihood: in the first fit, and in later ones
UNIFORM, FAVOURED = 100, 200  #: random candidates: anywhere, and with rates that are thought good
NEAR, STARTS = 40, 5  #: candidates near each of the best, and how many these are
EXACT, PROPOSALS = 60, 3  #: candidates that become configurations, and those that are proposed
SPREADS = (0.05, 0.2)  #: of candidates near a good one
#: Degrees of freedom of the distribution of what is expected. They order chances as a normal one
#: does, but leave some to what is unlikely: else a small chance to stay sound weighs nothing.
TAILS = 4.0
TRUST = 0.1  #: curves' worth of belief that a configuration does not diverge
MARGINS = (-3.0, -0.5)  #: decimal logarithms of margins, in deviations of all values


@dataclass
class _Curve:
    """What is known of one trial."""

    number: int
    params: dict[str, Any]
    columns: Floats
    costs: list[float] = field(default_factory=list)  #: by epoch
    seconds: float = 0.0  #: of all epochs
    paused: bool = False
    diverged: bool = False
    best: float = np.inf  #: the least cost so far


@dataclass(frozen=True)
class Choice:
    """What gets the next slice."""

    thaw: int | None  #: a paused trial
    new: list[Sample]  #: configurations for a new one, the best first; none where nothing is known


class FreezeThaw:
    """The curves of one arm, and what follows from them."""

    def __init__(
        self, arm: Arm, last: int, rates: LearningRates, *, maximize: bool, timed: bool = False
    ) -> None:
        """last: the epochs of a whole training. rates: what is known of learning rates.

        timed: whether the search may spend seconds, not epochs.
        """
        self._rates, self._timed = rates, timed
        self._encoding = Encoding(arm)
        short = self._encoding.setting("learning_rate")
        away = partial(self._encoding.away, rates=rates)
        self._model = CurveModel(self._encoding.setting_of_column, short, away)
        self._last, self._sign = last, -1.0 if maximize else 1.0
        self._curves: dict[int, _Curve] = {}
        self._ranked: list[tuple[float, int]] = []  # least costs of curves, and their numbers
        self._in_hand: dict[int, None] = {}  # numbers of the trials that workers have
        self._seen = 0  # epochs
        self._theta, self._fitted_at = self._model.start, 0
        first = min(slice_ends(last), default=1)
        self._epochs_of_halving = first * (1 + 2 / 3 * np.log(last / first) / np.log(3))
        self._startup = max(3, min(8, self._encoding.settings + 1))

    # What is known

    def restore(self, attributes: dict[str, Any]) -> None:
        """Take in the hyperparameters that the study has."""
        if FITTED in attributes:
            self._theta = np.array(attributes[FITTED])
            self._fitted_at = int(attributes[FITTED_AT])

    def started(self, trial: FrozenTrial, seconds: float = 0.0) -> None:
        """Take in a trial, with the values that it has and the seconds that they took."""
        columns = self._encoding.columns(trial.params)
        curve = _Curve(trial.number, trial.params, columns)
        self._curves[trial.number] = curve
        self._in_hand[trial.number] = None
        for step in sorted(trial.intermediate_values):
            self.observed(trial.number, trial.intermediate_values[step], 0.0)
        curve.seconds = seconds

    def observed(self, number: int, value: float, seconds: float) -> None:
        """Take in the value of a trial's next epoch, and how long it took."""
        curve, cost = self._curves[number], self._sign * value
        curve.seconds += seconds
        curve.costs.append(cost)
        self._seen += 1
        if cost < curve.best or len(curve.costs) == 1:
            self._rank(curve, cost)

    def paused(self, number: int) -> None:
        """Take in that a trial waits."""
        self._curves[number].paused = True
        self._in_hand.pop(number, None)

    def thawed(self, number: int) -> None:
        """Take in that a trial goes on."""
        self._curves[number].paused = False
        self._in_hand[number] = None

    def ended(self, number: int, *, diverged: bool, failed: bool) -> None:
        """Take in that a trial has ended. A failed one says nothing about its configuration."""
        curve = self._curves[number]
        curve.paused, curve.diverged = False, diverged
        self._in_hand.pop(number, None)
        if diverged or failed:
            self._rank(curve, np.inf)
        if failed:
            self._ranked.remove((np.inf, number))
            del self._curves[number]

    def _rank(self, curve: _Curve, best: float) -> None:
        """Take in the least cost of a curve."""
        place = bisect_left(self._ranked, (curve.best, curve.number))
        if self._ranked[place : place + 1] == [(curve.best, curve.number)]:
            del self._ranked[place]
        curve.best = best
        insort(self._ranked, (best, curve.number))

    # What follows

    def choose(
        self, seed: int, new: Callable[[Sample], bool] | None
    ) -> tuple[Choice, dict[str, Any]]:
        """Return what gets the next slice, and attributes to store with the study.

        new: whether a configuration may begin; None where no trial may: then what has begun goes on
        until it has had about the epochs that successive halving would have given it.
        """
        if new is None and self._seen >= self._epochs_of_halving * len(self._curves):
            return Choice(None, []), {}
        if new is not None and len(self._curves) < self._startup:
            return Choice(None, self._start(seed, new)), {}
        if not self._ranked or self._ranked[0][0] == np.inf:
            return Choice(None, []), {}  # nothing is known, but for what diverged
        view = _View(self._read(), self._last)
        stored = self._fit(view)
        rng = np.random.default_rng((seed, len(self._curves), self._seen))
        costs = self._epoch_costs(view)
        aim = _Aim(self._posterior(view), self._sound(view), view, self._last, costs, rng)
        waiting = [curve for curve in view.ranked if curve.paused]
        thaw, chance = None, 0.0
        if waiting:
            chances = aim.of_curves(waiting)
            best = int(chances.argmax())
            thaw, chance = waiting[best].number, chances[best]
        if new is None:
            return Choice(thaw, []), stored
        samples, chances = self._candidates(aim, view, rng, new)
        if thaw is not None and (not samples or chance >= chances[0]):
            return Choice(thaw, []), stored
        return Choice(None, samples), stored

    def _start(self, seed: int, new: Callable[[Sample], bool]) -> list[Sample]:
        """Return one of the configurations that a search begins with: they fill the space."""
        sequence = Sobol(max(1, self._encoding.settings), seed=np.random.default_rng(seed))
        places_KP = sequence.random(16)[:, : self._encoding.settings]
        places_KP = self._encoding.favoured(places_KP, self._rates)
        made = (self._encoding.sample(row.tolist()) for row in places_KP[len(self._curves) :])
        return [sample for sample in made if new(sample)][:1]

    def _fit(self, view: "_View") -> dict[str, Any]:
        """Fit the hyperparameters where it is time."""
        if self._seen < 1.25 * self._fitted_at:
            return {}
        points, y = view.points(FIT_POINTS)
        evaluations = EVALUATIONS if self._fitted_at else FIRST_EVALUATIONS
        self._theta = self._model.fit(points, y, self._theta, evaluations)
        self._fitted_at = self._seen
        return {FITTED: self._theta.tolist(), FITTED_AT: self._seen}

    def _read(self) -> list[_Curve]:
        """Return the curves that the model reads, the best first."""
        numbers = [number for _, number in self._ranked[:BEST]]
        others = self._ranked[BEST:]
        numbers += [number for _, number in others[:: max(1, len(others) // OTHERS)][:OTHERS]]
        latest = list(islice(reversed(self._curves), LATEST))
        known = {n: self._curves[n] for n in [*numbers, *latest]}
        read = [curve for curve in known.values() if curve.costs or curve.diverged]
        return sorted(read, key=lambda curve: (curve.best, curve.number))

    def _posterior(self, view: "_View") -> Posterior:
        """Return the model of all curves; those in hand end where they are expected to."""
        points, y = view.points(None)
        posterior = self._model.posterior(points, y, self._theta)
        in_hand = [self._curves[number] for number in list(self._in_hand)[-BEST:]]
        if not in_hand:
            return posterior
        ends = _places(in_hand, np.ones(len(in_hand)))
        believed, _ = posterior.at(ends)
        return self._model.posterior(
            points.joined(ends), np.concatenate([y, believed]), self._theta
        )

    def _epoch_costs(self, view: "_View") -> EpochCosts | None:
        """Return what epochs take; None where they all count the same."""
        known = [curve for curve in view.ranked if curve.costs and curve.seconds > 0]
        if not self._timed or not known:
            return None
        seconds = np.array([curve.seconds / len(curve.costs) for curve in known])
        return EpochCosts(np.stack([curve.columns for curve in known]), seconds)

    def _sound(self, view: "_View") -> Callable[[Points], Floats]:
        """Return how probable it is [N] that curves do not diverge, by those that are like them."""
        seen = _places(view.ranked, np.ones(len(view.ranked)))
        diverged = np.array([curve.diverged for curve in view.ranked], float)

        def sound(points: Points) -> Floats:
            if not diverged.any():
                return np.ones(len(points))
            weights = self._model.likeness(seen, points, self._theta) ** 2
            found: Floats = 1 - diverged @ weights / (weights.sum(0) + TRUST)
            return found

        return sound

    def _candidates(
        self, aim: "_Aim", view: "_View", rng: np.random.Generator, new: Callable[[Sample], bool]
    ) -> tuple[list[Sample], Floats]:
        """Return configurations to begin with, the best first, and their chances."""
        encoding = self._encoding
        places = [rng.random((UNIFORM, encoding.settings))]
        places.append(encoding.favoured(rng.random((FAVOURED, encoding.settings)), self._rates))
        for curve in view.ranked[:STARTS]:
            centre = encoding.places(curve.params)
            for spread in SPREADS:
                places.append(encoding.neighbours(centre, NEAR // len(SPREADS), spread, rng))
        places_KP = np.concatenate(places)
        chances = aim.of_new(encoding.columns_at(places_KP))
        best = np.argsort(-chances, kind="stable")[:EXACT]
        made = [encoding.sample(places_KP[k].tolist()) for k in best]
        chances = aim.of_new(np.stack([encoding.columns(sample.values) for sample in made]))
        order = np.argsort(-chances, kind="stable")
        chosen = list(islice((k for k in order if new(made[k])), PROPOSALS))
        return [made[k] for k in chosen], chances[chosen]


class _Aim:
    """What one decision is after: a margin below the least value, within some epochs."""

    def __init__(
        self,
        posterior: Posterior,
        sound: Callable[[Points], Floats],
        view: "_View",
        last: int,
        costs: EpochCosts | None,
        rng: np.random.Generator,
    ) -> None:
        self._posterior, self._sound, self._last, self._costs = posterior, sound, last, costs
        self._within = float(np.exp(rng.uniform(0, np.log(last))))
        self._below = view.least - 10 ** rng.uniform(*MARGINS)

    def of_curves(self, curves: list[_Curve]) -> Floats:
        """Return the chances of curves that go on."""
        epochs = np.array([len(curve.costs) for curve in curves])
        ahead = self._ahead(np.array([curve.seconds / len(curve.costs) for curve in curves]))
        return self._chances(_places(curves, self._scaled(epochs, ahead)))

    def of_new(self, columns_KC: Floats) -> Floats:
        """Return the chances of new curves."""
        number = len(columns_KC)
        ahead = self._ahead(np.zeros(0) if self._costs is None else self._costs.of_new(columns_KC))
        s = self._scaled(np.zeros(number), ahead)
        return self._chances(Points(columns_KC, s, -1 - np.arange(number)))

    def _ahead(self, seconds: Floats) -> Floats:
        """Return for how many epochs it looks ahead, by the seconds that one takes."""
        if self._costs is None:
            return np.array(self._within)
        found: Floats = (
            self._within * self._costs.typical / np.where(seconds > 0, seconds, self._costs.typical)
        )
        return found

    def _scaled(self, epochs: Floats, ahead: Floats) -> Floats:
        """Return how far curves will be, as the model reads steps."""
        return scaled(np.clip(epochs + ahead, 1, self._last), self._last)

    def _chances(self, points: Points) -> Floats:
        mean, deviation = self._posterior.at(points)
        found: Floats = stdtr(TAILS, (self._below - mean) / deviation) * self._sound(points)
        return found


class _View:
    """The curves that the model reads, and their values as it sees them."""

    def __init__(self, ranked: list[_Curve], last: int) -> None:
        """ranked: the best first."""
        self.ranked, self._last = ranked, last
        sound = [curve.costs for curve in ranked if not curve.diverged]
        self._floor = ranked[0].best
        self._width = max(float(np.median([costs[0] for costs in sound])) - self._floor, 1e-12)
        seen = self._seen_as(np.array([cost for costs in sound for cost in costs]))
        self._centre, self._scale = float(seen.mean()), max(float(seen.std()), 1e-3)
        self.least = float(self._standard(np.array([self._floor]))[0])

    def _seen_as(self, costs: Floats) -> Floats:
        return np.log(((costs - self._floor) / self._width).clip(0.0, 1.1) + 0.3)

    def _standard(self, costs: Floats) -> Floats:
        standard: Floats = (self._seen_as(costs) - self._centre) / self._scale
        return standard

    def points(self, most: int | None) -> tuple[Points, Floats]:
        """Return values and where they are, at most so many: the last of every curve first."""
        places = [
            (turn, curve, epoch)
            for rank, curve in enumerate(self.ranked)
            for turn, epoch in enumerate(self._epochs(curve, rank))
        ]
        places.sort(key=lambda place: place[0])
        chosen = [(curve, epoch) for _, curve, epoch in places[:most]]
        costs = [np.inf if c.diverged else c.costs[e - 1] for c, e in chosen]
        s = scaled(np.array([epoch for _, epoch in chosen]), self._last)
        return _places([curve for curve, _ in chosen], s), self._standard(np.array(costs))

    def _epochs(self, curve: _Curve, rank: int) -> list[int]:
        """Return the epochs of a curve that are read: the last one, half of it, and so on."""
        if curve.diverged:
            return [1, self._last] if self._last > 1 else [1]
        found: list[int] = []
        epoch = len(curve.costs)
        while epoch and len(found) < (4 if rank < BEST // 2 else 2):
            found.append(epoch)
            epoch //= 2
        return found


def _places(curves: list[_Curve], s: Floats) -> Points:
    """Return a step of each curve."""
    numbers = np.array([curve.number for curve in curves])
    return Points(np.stack([curve.columns for curve in curves]), s, numbers)


def scaled(steps: Floats, last: int) -> Floats:
    """Return steps on a logarithmic scale on which the last one is 1."""
    found: Floats = np.log(steps) / np.log(max(last, 2))
    return found
