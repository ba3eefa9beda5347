"""Next character of English prose: the language reference that comes with Python.

The text is pydoc_data.topics of the standard library, about 465,000 characters in 79 topics; it
differs between Python versions, which the fingerprint shows. Topics include one another: one
paragraph in five occurs word for word somewhere else, and a model would be tested on what it was
trained on. A paragraph counts where it occurs first, about 373,000 characters.
"""

from pathlib import Path

import numpy as np

from spaces.errors import InputError
from spaces.tasks import Characters
from trainables.data.sequences import Dealing
from trainables.data.splits import Parts, consecutive, windows

SHARES = (0.8, 0.1, 0.1)  # of the text, in its order


def load(spec: Characters, base: Path) -> Parts:
    """Return windows of spec.window + 1 characters that tile three consecutive stretches.

    The vocabulary is every character of the text in the order of its code point. spec.limit
    limits the text to its beginning, for shorter runs.
    """
    full = text()
    used = full[: spec.limit]
    stretches = consecutive(len(used), SHARES)
    shortest = min(stretch.stop - stretch.start for stretch in stretches)
    if shortest <= spec.window:
        raise InputError.of(
            "task.window",
            f"validation and test take {min(SHARES):.0%} of the text each and must hold at least "
            f"one window and its last target, {spec.window + 1} characters; "
            f"of {len(used)} characters they get {shortest}",
            f"give a window of at most {max(shortest - 1, 1)}, or a higher limit "
            f"(the text has {len(full)})",
        )
    points = np.array([ord(character) for character in used], dtype=np.int64)
    vocabulary, symbols = np.unique(points, return_inverse=True)
    parts = (
        windows(symbols.astype(np.int64)[stretch], spec.window, spec.window, stretch.start)
        for stretch in stretches
    )
    size = len(vocabulary)
    return Parts(spec.name, "next-token", size, size, *parts, dealing=Dealing("stretches"))


def text() -> str:
    """Return the topics in the order of their names, each paragraph once."""
    from pydoc_data.topics import topics  # half a megabyte that other tasks need not read

    seen: set[str] = set()
    paragraphs = []
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            wording = " ".join(paragraph.split())  # copies differ in their indentation
            if wording and wording not in seen:
                seen.add(wording)
                paragraphs.append(paragraph.strip("\n"))
    return "\n\n".join(paragraphs)
