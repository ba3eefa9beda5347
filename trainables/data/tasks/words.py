"""Next word of English prose: the text of `characters`, as words and punctuation marks.

Letters are lower case. The vocabulary are the words that occur most often in the training part;
all others are one symbol, <unknown>. So bits a word compare within this task alone, not with
figures of other texts or vocabularies; neither do bits a character, of which a word has one more
than it has letters.
"""

import re
from pathlib import Path

from spaces.errors import InputError
from spaces.tasks import Words
from trainables.data.splits import Parts, consecutive
from trainables.data.tasks import characters
from trainables.data.trained_text import TrainedText

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
    ends = tuple(stretch.stop for stretch in stretches)
    text = TrainedText(tuple(found), ends, "words", spec.vocabulary, spec.window, between=1)
    return text.parts(spec.name, "task")


def words(text: str) -> list[str]:
    """Return the words, numbers and runs of punctuation marks of a text, in lower case."""
    return _WORD.findall(text.lower())
