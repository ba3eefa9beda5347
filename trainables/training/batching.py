"""Which trainings take less time together, and how many of them fit. Knows no torch.

The limits are measured on CPUs (tests/benchmarks/fused.py). They count the numbers that a layer
stack computes in one batch: padded steps times units times layers.
"""

from spaces.config import TrialConfig

#: Cells that the compiled scan does not hold whole, so that nothing is saved: one normalises over a
#: batch, the other attends to all steps at once.
UNBATCHABLE = frozenset({("gru", "light"), ("transformer", "encoder")})
#: Largest batch of one training that gains from a cohort.
MAX_BATCH_NUMBERS = 500_000
#: Numbers of the batches that a cohort computes at once; more of them would not fit into caches.
MAX_COHORT_NUMBERS = 600_000
#: Trainings in one cohort. More save nothing.
MAX_MEMBERS = 16


def batch_numbers(config: TrialConfig, longest: int) -> int:
    """Return how many numbers the layers compute for a batch of sequences of `longest` steps."""
    return config.batch_size * longest * config.hidden_size * config.depth


def batching_pays(config: TrialConfig, longest: int) -> bool:
    """Return whether trainings of this shape take less time together, on a CPU."""
    if (config.cell, config.gates) in UNBATCHABLE or config.carry_state != "never":
        return False
    return batch_numbers(config, longest) <= MAX_BATCH_NUMBERS
