"""How one configuration of an arm is sampled, and how a small space is listed."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.domains import Choices, Domain, Range, values

WIDE = 64  #: integer ranges from this width on are sampled as reals: it costs TPE 100 times less


@dataclass(frozen=True)
class Sample:
    """A configuration, and the values that led to it as Optuna stores them."""

    config: TrialConfig
    values: dict[str, Any]
    distributions: dict[str, BaseDistribution]

    @property
    def digest(self) -> bytes:
        """The same bytes for equal configurations."""
        return digest(self.config)


def digest(config: TrialConfig) -> bytes:
    """Return the same 12 bytes for equal configurations."""
    plain = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return blake2b(plain.encode(), digest_size=12).digest()


class Answers:
    """Answers the questions of an arm, and keeps each answer as Optuna stores it."""

    def __init__(self, answer: Callable[[str, Domain], Any]) -> None:
        """answer: returns a stored value for a setting, by its name and domain."""
        self._answer = answer
        self.values: dict[str, Any] = {}  #: as Optuna stores them
        self.distributions: dict[str, BaseDistribution] = {}

    def __call__(self, name: str, domain: Domain) -> Any:
        """Return the value that a setting has."""
        self.distributions[name] = distribution(domain)
        self.values[name] = self._answer(name, domain)
        return meaning(domain, self.values[name])

    def configure(self, arm: Arm) -> Sample:
        """Return the configuration of an arm that the answers make."""
        return Sample(arm.configure(self), self.values, self.distributions)


def draw(arm: Arm, trial: optuna.Trial, given: Mapping[str, Any]) -> Sample:
    """Return a configuration whose values are given, as Optuna stores them, or else suggested."""

    def answer(name: str, domain: Domain) -> Any:
        return given[name] if name in given else _suggest(trial, name, domain)

    return Answers(answer).configure(arm)


def draw_alike(
    arm: Arm, seed: Callable[[str], int], given: Mapping[str, Any] | None = None
) -> Sample:
    """Return a random configuration, each of whose settings has a seed of its own, by its name.

    Arms that have a setting with the same domain draw the same value from the same seed, whatever
    else they are asked. given: values of settings that are not drawn.
    """

    def answer(name: str, domain: Domain) -> Any:
        if given is not None and name in given:
            return given[name]
        place = float(np.random.default_rng(seed(name)).random())
        return value_at(distribution(domain), place)

    return Answers(answer).configure(arm)


def repeat(arm: Arm, answers: Mapping[str, Any]) -> Sample:
    """Return the configuration that answers lead to; each must be a value of its domain."""

    return Answers(lambda name, domain: stored(domain, answers[name])).configure(arm)


def stored(domain: Domain, value: Any) -> Any:
    """Return a value of a domain as Optuna stores it."""
    return float(value) if isinstance(distribution(domain), FloatDistribution) else value


def distribution(domain: Domain) -> BaseDistribution:
    """Return a domain as Optuna's distribution."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.values)
    assert isinstance(domain, Range), domain
    low, high = domain.low, domain.high
    if not domain.integer:
        return FloatDistribution(low, high, log=domain.log)
    if high - low < WIDE:
        return IntDistribution(int(low), int(high), log=domain.log)
    return FloatDistribution(low - 0.499, high + 0.499, log=domain.log)


def bounds(of: BaseDistribution) -> tuple[float, float, bool]:
    """Return low, high and whether they are logarithms; integers have half a step of margin."""
    assert isinstance(of, FloatDistribution | IntDistribution), of
    margin = 0.5 if isinstance(of, IntDistribution) else 0.0
    low, high = of.low - margin, of.high + margin
    return (math.log(low), math.log(high), True) if of.log else (low, high, False)


def value_at(of: BaseDistribution, place: float) -> Any:
    """Return the value at a place in [0, 1] of its range; one in [0, 1) of choices."""
    if isinstance(of, CategoricalDistribution):
        return of.choices[int(place * len(of.choices))]
    low, high, log = bounds(of)
    value = low + place * (high - low)
    value = math.exp(value) if log else value
    assert isinstance(of, FloatDistribution | IntDistribution)
    value = min(max(value, of.low), of.high)
    return round(value) if isinstance(of, IntDistribution) else value


def place_of(of: BaseDistribution, value: float) -> float:
    """Return where a value is in its range, in [0, 1]."""
    low, high, log = bounds(of)
    return ((math.log(value) if log else value) - low) / (high - low)


def meaning(domain: Domain, value: Any) -> Any:
    """Return the value of a domain that a stored value means: wide integers are rounded."""
    if isinstance(domain, Range) and domain.integer:
        return min(max(round(value), int(domain.low)), int(domain.high))
    return value


def _suggest(trial: optuna.Trial, name: str, domain: Domain) -> Any:
    match distribution(domain):
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
    raise AssertionError(name)


class _UnansweredError(Exception):
    """A question that has no answer yet."""

    def __init__(self, name: str, domain: Domain) -> None:
        self.name = name
        self.domain = domain


def everything(arm: Arm, most: int) -> list[Sample] | None:
    """Return all configurations of an arm, or None where there are more than `most`."""
    found = []
    for number, answers in enumerate(_paths(arm, most)):
        if answers is None or number >= most:
            return None
        found.append(repeat(arm, answers))
    return found


def _paths(arm: Arm, most: int) -> Iterator[dict[str, Any] | None]:
    """Yield the answers to all questions of an arm, in every combination; None for too many."""
    unfinished: list[dict[str, Any]] = [{}]
    while unfinished:
        answers = unfinished.pop()
        question = _next_question(arm, answers)
        if question is None:
            yield answers
        elif _size(question.domain) > most:
            yield None
        else:
            unfinished += [
                {**answers, question.name: value} for value in reversed(values(question.domain))
            ]


def _size(domain: Domain) -> float:
    if isinstance(domain, Range) and not domain.integer:
        return math.inf
    return len(values(domain))


def _next_question(arm: Arm, answers: Mapping[str, Any]) -> _UnansweredError | None:
    def ask(name: str, domain: Domain) -> Any:
        if name not in answers:
            raise _UnansweredError(name, domain)
        return answers[name]

    try:
        arm.configure(ask)
    except _UnansweredError as question:
        return question
    return None
