"""What a job has from former ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WarmStart:
    """What a job has from a prior one that its samplers learned from."""

    job: str  #: the prior job's name
    trials: dict[str, int]  #: how many of its trials each arm learned from
    may_have_seen_test: bool  #: whether it may have trained on what is test data here


@dataclass(frozen=True)
class LearnedRates:
    """What a job has from its root's former jobs: how their good learning rates lay."""

    jobs: tuple[str, ...] = ()  #: by name: those of which every arm learned
    #: By cell family: decades above what the literature has.
    decades: Mapping[str, float] = field(default_factory=dict)
    unequal: int = 0  #: jobs left out that said something of some of the cells alone
    overlapping: int = 0  #: jobs left out that may have trained on what is test data here
