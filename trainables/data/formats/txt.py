"""Own text from a .txt file in UTF-8: its characters are the symbols, in their order.

Or the symbols are words or parts of words, of a vocabulary that is learned from the training part;
see trainables.data.trained_text.

The text is cut into windows of `window` predicted characters, each of which begins with the last
character of the one before. The first 60 % of windows are for training, the next for validation,
the last for test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.kinds import TaskKind
from spaces.own_data import SIZE, WINDOW, DataSection
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from spaces.text import show
from trainables.data.formats.ragged import Array, Part, Ragged, first
from trainables.data.formats.table import check_file
from trainables.data.memory import refuse_unless_it_fits
from trainables.data.splits import Parts, consecutive, windows
from trainables.data.trained_text import TrainedText, windowed
from trainables.data.vocabulary import Vocabulary, pieces


@dataclass(frozen=True)
class TextPlaces:
    """Places by character, counted from 1: "book.txt: character 1204"."""

    file: str
    window: int

    def whole(self, part: Part) -> str:
        """Return the file's place."""
        return self.file

    def of(self, part: Part, sequence: int) -> str:
        """Return the place of a window."""
        return f"{self.file}: character {sequence * self.window + 1}"

    def step(self, at: int, feature: int | None = None) -> str:
        """Return the place of a step of x."""
        sequence, within = divmod(at, self.window + 1)
        return f"{self.file}: character {sequence * self.window + within + 1}"


def read(path: Path, data: DataSection, kind: TaskKind) -> Ragged:
    """Return the text as windows. Raises InputError."""
    if kind != "next-token":
        rule = f"a .txt is for next-token, not for {kind}"
        raise InputError.of(data.file, rule, "choose kind: next-token, or give a table")
    points = _characters(path, data.file)
    found, series = np.unique(points, return_inverse=True)
    return _cut(series, found, data.file, data.window or WINDOW)


def with_trained_vocabulary(
    spec: OwnData, path: Path, test: Path | None, shares: Sequence[float]
) -> Parts:
    """Return the parts of a text whose vocabulary is learned from its training part.

    shares: of the file that is not for test alone. Raises InputError.
    """
    data, vocabulary = spec.data, spec.data.vocabulary
    assert vocabulary != "characters"
    if spec.kind != "next-token":
        rule = f"a .txt is for next-token, not for {spec.kind}"
        raise InputError.of(data.file, rule, "choose kind: next-token, or give a table")
    found = pieces(_text(path, data.file))
    ends = [part.stop for part in consecutive(len(found), shares)]
    if test is not None:
        found += pieces(_text(test, test.name))
        ends.append(len(found))
    size, window = data.size or SIZE, data.window or WINDOW
    train, validation, last = ends
    text = TrainedText(tuple(found), (train, validation, last), vocabulary, size, window)
    parts = text.parts(spec.label, data.file, official_test=test is not None)
    return replace(parts, vocabulary=vocabulary)


def read_new(path: Path, info: TaskInfo) -> Ragged:
    """Return a text as windows of the length of training. Raises InputError."""
    if info.vocabulary is not None and info.labels is not None:
        text, window = pieces(_text(path, path.name)), max(1, info.longest - 1)
        learned = Vocabulary(info.vocabulary, tuple(map(str, info.labels)))
        cut = windowed(learned, [(0, len(text))], text, window)
        if len(cut) == 0:
            raise InputError.of(path.name, "a text must have two symbols", "give a longer text")
        return Ragged(
            cut.x,
            cut.lengths,
            TextPlaces(path.name, window),
            labels=info.labels,
            in_order=True,
            characters=cut.characters,
        )
    if info.labels is None or any(len(str(label)) != 1 for label in info.labels):
        rule = "the model must have been trained on the characters of a text; it was not"
        raise InputError.of(path.name, rule, "give data as it was trained on")
    points = _characters(path, path.name)
    known = np.array([ord(str(label)) for label in info.labels])
    series = np.minimum(np.searchsorted(known, points), len(known) - 1)
    at = first(known[series] != points)
    if at is not None:
        raise InputError.of(
            f"{path.name}: character {at + 1}",
            f"characters must be those of training; {show(chr(points[at]))} is none",
            "replace it",
        )
    return _cut(series, known, path.name, max(1, info.longest - 1))


def read_any(path: Path) -> tuple[dict[str, Array], NDArray[np.int64]]:
    """Return the numbers of the characters as one sequence, and its length. Raises InputError."""
    _, series = np.unique(_characters(path, path.name), return_inverse=True)
    return {"x": series}, np.array([len(series)])


def _characters(path: Path, place: str) -> NDArray[np.uint32]:
    """Return the code points of a text of two characters at least."""
    return np.frombuffer(_text(path, place).encode("utf-32-le"), "<u4")


def _text(path: Path, place: str) -> str:
    """Return a text of two characters at least."""
    check_file(path, place)
    # Code points, their numbers, windows and parts: some 30 bytes a character at the worst moment.
    refuse_unless_it_fits(30 * path.stat().st_size, place, "use less text")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        rule = f"a .txt must be text in UTF-8; byte {error.start + 1} is none"
        raise InputError.of(place, rule, "save the text in UTF-8") from error
    if len(text) < 2:
        rule = f"a text must have at least 2 characters; this one has {len(text)}"
        raise InputError.of(place, rule, "give a longer text")
    return text


def _cut(series: Array, points: Array, place: str, window: int) -> Ragged:
    cut = windows(series.astype(np.int64), window, window)
    labels = tuple(map(chr, points.tolist()))
    places = TextPlaces(place, window)
    return Ragged(cut.x, cut.lengths, places, labels=labels, in_order=True)
