"""What a job's records say about its arms, and what they do not.

    compare(results)         the figures, as plain dataclasses; as_dict() for --json
    final_table(comparison)  the table that ends a run, for rich
    comparison(comparison)   what `gatesearch compare` prints, for rich

Version 1 describes. It makes no statistical statement: see `Comparison.not_claimed`.
"""

from search.compare.summary import (
    ArmSummary,
    Best,
    Budget,
    Comparison,
    Finalist,
    FrontPoint,
    PairedDifference,
    Replicate,
    Spread,
    compare,
)
from search.compare.tables import comparison, final_table

__all__ = [
    "ArmSummary",
    "Best",
    "Budget",
    "Comparison",
    "Finalist",
    "FrontPoint",
    "PairedDifference",
    "Replicate",
    "Spread",
    "compare",
    "comparison",
    "final_table",
]
