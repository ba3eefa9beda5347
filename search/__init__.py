"""Which configurations are tried, and what was learned. Python's way in: search.GateSearch.

The name is looked up when it is first used, so that the command line starts without scikit-learn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.estimator.gate_search import GateSearch

__all__ = ["GateSearch"]


def __getattr__(name: str) -> Any:
    if name == "GateSearch":
        from search.estimator.gate_search import GateSearch

        return GateSearch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
