"""The learning rate of an arm's first trial: what literature and former jobs have good for it.

It is known before anything was tried. It is by the trial's own cell, size and optimizer, within the
arm's domain; every other setting is as the sampler has it. All arms begin by the same rule.
"""

import math

from search.job.spec import JobSpec
from search.journal.warm_start import LearnedRates
from search.study.learning_rates import NOT_KNOWN, LearningRates, literature, of_arm
from search.study.sampling import Answers, Sample, stored
from spaces.arms import Arm
from spaces.config import TrialConfig
from spaces.domains import Domain, Range, values

_NAME = "learning_rate"


class KnownRates:
    """What a job knows of learning rates before anything was tried."""

    def __init__(self, job: JobSpec, learned: LearnedRates | None) -> None:
        """learned: from former jobs, where the job asks for that."""
        search = job.search
        self._known = search.prior != "none" and search.warm_start is None
        self._given = bool(search.start_from) and _NAME in search.start_from[0].given()
        self._learned = learned or LearnedRates()

    def at_first(self, arm: Arm, sample: Sample) -> Sample:
        """Return an arm's first trial, drawn without knowledge, with the rate that is known."""
        if not self._known or self._given or _NAME not in sample.values:
            return sample
        domain = arm.domains()[_NAME]
        rate = _nearest(domain, self._of(sample.config))
        answers = {**sample.values, _NAME: stored(domain, rate)}
        return Answers(lambda name, _: answers[name]).configure(arm)

    def of_arm(self, arm: Arm) -> LearningRates:
        """Return which rates are known to be good for an arm's models, on average."""
        return of_arm(arm, self._learned.decades) if self._known else NOT_KNOWN

    def _of(self, config: TrialConfig) -> float:
        """Return the rate that is expected to be good for a configuration."""
        usual = literature(config.cell, config.hidden_size, config.optimizer)
        return float(10 ** (usual.mean + self._learned.decades.get(config.cell, 0.0)))


def _nearest(domain: Domain, rate: float) -> float:
    """Return the value of a domain of rates that is nearest to one, by their ratio."""
    if isinstance(domain, Range):
        return min(max(rate, domain.low), domain.high)
    rates = [value for value in values(domain) if isinstance(value, int | float)]
    return min(rates, key=lambda value: abs(math.log(value / rate)))
