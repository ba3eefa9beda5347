"""The claims: what is said, who says it, and which jobs answer it by which rule.

A job is a file of deploy/jobs/claims/, by its stem. Its own name begins with "claims-".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from search.results.claims import constrained, duels, failing, speed
from search.results.claims.finding import Finding
from search.results.read import Results

PREFIX = "claims-"  #: of the jobs' names
TASKS = ("vowels", "symbolic", "characters")


@dataclass(frozen=True)
class Claim:
    """One sentence that articles repeat."""

    name: str
    sentence: str
    source: str  #: who says it, or that many do
    jobs: tuple[str, ...]
    rule: Callable[[Results], Iterator[Finding]]  #: what a job says about it


CLAIMS = (
    Claim(
        "gru-faster",
        "A GRU trains faster than an LSTM of the same hidden size.",
        "Chung et al. 2014, arXiv 1412.3555",
        tuple(f"{task}-speed" for task in TASKS),
        lambda results: speed.faster(results, "gru", "lstm"),
    ),
    Claim(
        "gru-smaller",
        "A GRU needs fewer parameters than an LSTM for the same score: at equal size it is better.",
        "repeated in tutorials, after Cho et al. 2014, arXiv 1406.1078",
        tuple(f"{task}-equal" for task in TASKS),
        lambda results: duels.better(results, "gru", "lstm"),
    ),
    Claim(
        "no-difference",
        "The difference between LSTM and GRU is often not significant.",
        "Chung et al. 2014, arXiv 1412.3555; Greff et al. 2017, arXiv 1503.04069",
        TASKS,
        lambda results: duels.no_difference(results, "lstm", "gru"),
    ),
    Claim(
        "rnn-fails",
        "A vanilla RNN fails at long range where gated cells do not.",
        "Bengio et al. 1994, IEEE TNN 5(2); Hochreiter & Schmidhuber 1997, Neural Computation 9(8)",
        ("adding-50", "adding-200"),
        lambda results: failing.fails_alone(results, "rnn", ("lstm", "gru")),
    ),
    Claim(
        "depth-useless",
        "More layers do not help where training time is constrained.",
        "Cahuantzi et al. 2021, arXiv 2107.02248",
        ("depth-10", "depth-30", "depth-60"),
        lambda results: constrained.shallow_keeps_up(
            results, "one-layer", "two-layers", "three-layers"
        ),
    ),
    Claim(
        "lstm-overfits",
        "An LSTM overfits more than a GRU.",
        "repeated in tutorials, which reason from its larger number of parameters",
        TASKS,
        lambda results: duels.larger_gap(results, "lstm", "gru"),
    ),
    Claim(
        "coupling-free",
        "Coupling input and forget gate of an LSTM costs nothing.",
        "Greff et al. 2017, IEEE TNNLS 28(10), arXiv 1503.04069",
        TASKS,
        lambda results: duels.not_worse(results, "lstm-coupled", "lstm-peephole"),
    ),
)


def jobs_of(claims: tuple[Claim, ...]) -> tuple[str, ...]:
    """Return the jobs that some claims need, each once, in the order of the table."""
    return tuple(dict.fromkeys(job for claim in claims for job in claim.jobs))
