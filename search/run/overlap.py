"""Whether a prior job may have trained on what a new one keeps for test."""

from collections.abc import Iterator
from hashlib import blake2b

from search.results.read import Results
from spaces.errors import InputError
from spaces.own_task import OwnData
from trainables.data import tasks
from trainables.data.sequences import Data, Sequences


def may_have_seen(prior: Results, data: Data) -> bool:
    """Return whether the prior job's training or validation part may hold test data of a new job.

    It does not where both jobs split the same data alike (equal fingerprints), where data is drawn
    anew, between different tasks, and where the task has an official test part. A user's own
    sequences are compared one by one. Where nothing is sure, the answer is yes: stretches of a text
    may overlap in part, and the prior job's data may have changed since or be gone.
    """
    if prior.warm_start is not None and prior.warm_start.may_have_seen_test:
        return True
    if prior.info.fingerprint == data.info.fingerprint or data.dealing.by == "draws":
        return False
    if isinstance(prior.job.task, OwnData) or data.info.name not in tasks.LOADERS:
        return _own_overlap(prior, data)
    return prior.info.name == data.info.name and not data.dealing.official_test


def _own_overlap(prior: Results, data: Data) -> bool:
    try:
        theirs = tasks.load(prior.job.task, prior.job.base)
    except InputError:
        return True
    changed = theirs.info.fingerprint != prior.info.fingerprint
    if changed or "stretches" in (theirs.dealing.by, data.dealing.by):
        return True
    seen = {*_digests(theirs.train), *_digests(theirs.validation)}
    return not seen.isdisjoint(_digests(data.test))


def _digests(sequences: Sequences) -> Iterator[bytes]:
    """Yield the same bytes for sequences of equal features or symbols."""
    for start, length in zip(sequences.starts, sequences.lengths, strict=True):
        steps = sequences.x[start : start + length]
        yield blake2b(steps.tobytes(), digest_size=16).digest()
