"""Next word of English prose: the text of `characters`, as words and punctuation marks.

Letters are lower case. The vocabulary are the words that occur most often in the training part;
all others are one symbol, <unknown>. So bits a word compare within this task alone, not with
figures of other texts or vocabularies.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import Words
from trainables.data.sequences import Dealing
from trainables.data.splits import Parts, consecutive, windows
from trainables.data.tasks import characters

UNKNOWN = "<unknown>"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[^\sa-z\d]+")


def load(spec: Words, base: Path) -> Parts:
    """Return windows of spec.window + 1 words that tile three consecutive stretches."""
    found = words(characters.text())
    stretches = consecutive(len(found), characters.SHARES)
    shortest = min(stretch.stop - stretch.start for stretch in stretches)
    if shortest <= spec.window:
        raise InputError.of(
            "task.window",
            f"validation and test must hold at least one window and its last target each, "
            f"{spec.window + 1} words; they have {shortest}",
            f"give a window of at most {shortest - 1}",
        )
    counted = Counter(found[stretches[0]])
    frequent = sorted(counted, key=lambda word: (-counted[word], word))[: spec.vocabulary - 1]
    names = (UNKNOWN, *sorted(frequent))
    places = {name: place for place, name in enumerate(names)}
    symbols = np.array([places.get(word, 0) for word in found], dtype=np.int64)
    parts = (windows(symbols[stretch], spec.window, spec.window) for stretch in stretches)
    size = len(names)
    return Parts(
        spec.name, "next-token", size, size, *parts, dealing=Dealing("stretches"), labels=names
    )


def words(text: str) -> list[str]:
    """Return the words, numbers and runs of punctuation marks of a text, in lower case."""
    return _WORD.findall(text.lower())
