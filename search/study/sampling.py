"""How one configuration of an arm is drawn, and how small spaces are listed whole."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

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

WIDE = 64  #: integer ranges from this width on are drawn as reals, which costs TPE 100 times less


@dataclass(frozen=True)
class Sample:
    """A configuration, and the values that led to it as Optuna stores them."""

    config: TrialConfig
    values: dict[str, Any]
    distributions: dict[str, BaseDistribution]

    @property
    def digest(self) -> bytes:
        """What equal configurations have in common."""
        return digest(self.config.model_dump(mode="json"))


def digest(config: Mapping[str, Any]) -> bytes:
    """Return a short digest of a configuration in its plain form."""
    return blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=12).digest()


def draw(arm: Arm, trial: optuna.Trial, given: Mapping[str, Any]) -> Sample:
    """Return a configuration whose values are given (as Optuna stores them) or suggested."""
    stored: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}

    def ask(name: str, domain: Domain) -> Any:
        value = given[name] if name in given else _suggest(trial, name, domain)
        stored[name], distributions[name] = value, distribution(domain)
        return meaning(domain, value)

    return Sample(arm.configure(ask), stored, distributions)


def repeat(arm: Arm, answers: Mapping[str, Any]) -> Sample:
    """Return the configuration that answers lead to; they are values of the domains."""
    stored: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}

    def ask(name: str, domain: Domain) -> Any:
        value, distributions[name] = answers[name], distribution(domain)
        real = isinstance(distributions[name], FloatDistribution)
        stored[name] = float(value) if real else value
        return value

    return Sample(arm.configure(ask), stored, distributions)


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


def meaning(domain: Domain, value: Any) -> Any:
    """Return the value of a domain that a stored value stands for: wide integers are rounded."""
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


class _OpenError(Exception):
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


def _next_question(arm: Arm, answers: Mapping[str, Any]) -> _OpenError | None:
    def ask(name: str, domain: Domain) -> Any:
        if name not in answers:
            raise _OpenError(name, domain)
        return answers[name]

    try:
        arm.configure(ask)
    except _OpenError as question:
        return question
    return None
