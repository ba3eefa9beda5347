"""Intervals that resample test examples: from what each of them scored in a job's replicates."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from search.job.folder import checkpoint_place
from search.journal.trial import TrialResult
from search.results.evidence.crossed import crossed_interval
from search.results.evidence.difference import Interval
from search.results.evidence.verdict import Verdict
from search.results.ranking import candidates
from search.results.read import Results
from trainables.checkpoints.base import CheckpointError
from trainables.checkpoints.open import open_store
from trainables.training.examples import Examples

Array = NDArray[np.float64]


def resampled(results: Results, verdict: Verdict) -> dict[tuple[str, str], Interval]:
    """Return the intervals of the pairs of arms, for design splits, whose test part stays.

    A pair is left out where a replicate's scores are not at hand: they were not stored by earlier
    versions, and those in an object store are not fetched for it.
    """
    place = checkpoint_place(results.job, results.folder, results.job_id)
    if results.job.confirm.design != "splits" or place.startswith("s3://"):
        return {}
    shares: dict[str, dict[int, Array]] = {}
    counts: Array | None = None
    for arm in results.arms:
        leader = next(iter(candidates(results.info.metric, results.of_arm(arm))), None)
        own = () if leader is None else leader.completed
        try:
            found = dict(_scored(place, own))
        except CheckpointError:
            continue
        own_shares = {number: e.shares(results.info.metric.name) for number, e in found.items()}
        if any(one is None for one in own_shares.values()):
            return {}  # a metric that is no mean over examples
        shares[arm] = {number: one for number, one in own_shares.items() if one is not None}
        counts = next((e.count.astype(np.float64) for e in found.values()), counts)
    if counts is None:
        return {}
    level = (1 - verdict.confidence) / max(1, len(verdict.pairs))
    intervals = {
        (pair.first, pair.second): crossed_interval(table, counts, level)
        for pair in verdict.pairs
        if pair.first in shares and pair.second in shares
        for table in [_table(shares[pair.first], shares[pair.second])]
        if table is not None
    }
    return {pair: interval for pair, interval in intervals.items() if interval is not None}


def _scored(place: str, replicates: tuple[TrialResult, ...]) -> Iterator[tuple[int, Examples]]:
    """Yield the scores of replicates by their numbers. Raises CheckpointError where some lack."""
    store = open_store(place)
    for replicate in replicates:
        if replicate.scores is None or replicate.replicate is None:
            raise CheckpointError(f"replicate {replicate.number} has no scores of its examples")
        with store.reading(replicate.scores["name"]) as folder:
            yield replicate.replicate, Examples.read(folder, replicate.scores["sha256"])


def _table(first: Mapping[int, Array], second: Mapping[int, Array]) -> Array | None:
    """Return first - second of each example on each split that both arms completed."""
    rows = [first[number] - second[number] for number in first if number in second]
    return np.stack(rows) if rows else None
