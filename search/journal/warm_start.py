"""What a job has from a prior one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WarmStart:
    """What a job has from a prior one that its samplers learned from."""

    job: str  #: the prior job's name
    trials: dict[str, int]  #: how many of its trials each arm learned from
    may_have_seen_test: bool  #: whether it may have trained on what is test data here
