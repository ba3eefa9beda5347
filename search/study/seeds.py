"""Derived randomness: every random decision of a job has a seed of its own, and no state goes on.

A resumed job therefore draws what an undisturbed one would have drawn.
"""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**32) that depends on the job's seed and on the names, in order."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
