"""Which trainings gain from being run at once, and how many of them fit. Knows no torch."""

from spaces.config import TrialConfig

#: Cells whose trainings gain nothing from company: they normalise over a batch, or attend to all
#: steps at once, outside the compiled scan.
UNBATCHABLE = frozenset({("gru", "light"), ("transformer", "encoder")})
#: Padded steps times units times layers of the trainings that are run at once, at most: more would
#: not fit into caches, and gains nothing where batches are as large as that.
MAX_NUMBERS_AT_ONCE = 600_000
#: The same of one training that gains from company, at most.
MAX_BATCHED_NUMBERS = 500_000
#: Trainings at once, at most; what is saved by company is saved by fewer already.
MAX_MEMBERS = 16


def numbers(config: TrialConfig, longest: int) -> int:
    """Return the padded steps of a batch times units times layers; longest: steps of a sequence."""
    return config.batch_size * longest * config.hidden_size * config.depth


def batching_pays(config: TrialConfig, longest: int) -> bool:
    """Return whether trainings of this shape take less time together, on a CPU."""
    if (config.cell, config.gates) in UNBATCHABLE:
        return False
    return numbers(config, longest) <= MAX_BATCHED_NUMBERS
