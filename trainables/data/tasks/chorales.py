"""Bach's four-part chorales as piano rolls: which of 88 keys sound at each quarter note.

The MusicXML files are those of the music21 package, which is not imported. Frames are as those of
the JSB chorales of Boulanger-Lewandowski, Bengio & Vincent, "Modeling temporal dependencies in
high-dimensional sequences", ICML 2012: what sounds at each quarter note, A0 to C8, no
transposition, and the negative log-likelihood is a sum over keys and a mean over frames. The pieces
and the split are not: theirs are 382 chorales of another collection, dealt 229/76/77 by its
authors, which these files do not tell. Published figures of theirs (GRU 8.54 and LSTM 8.67 nats a
frame; Chung et al., arXiv 1412.3555, 2014) are therefore neighbours and no targets.

Here are the pieces with exactly four parts, each once, dealt 60/20/20 by the seed.
"""

import importlib.util
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from spaces.tasks import BachChorales
from trainables.data.sequences import Dealing
from trainables.data.splits import Parts, select, stratified

SHARES = (0.6, 0.2, 0.2)
KEYS, LOWEST = 88, 21  # of a piano: A0 is note 21 of MIDI
VOICES = 4
TICKS = 10080  # of a quarter note: a multiple of what scores divide it into
_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

Note = tuple[int, int, int]  #: ticks at which it begins and ends, and its pitch
Frames = NDArray[np.float32]


def load(spec: BachChorales, base: Path) -> Parts:
    """Return the chorales, [frames, 88] of 0 and 1 each."""
    pieces = _pieces(packaged())
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    x, rng = np.concatenate(pieces), np.random.default_rng(spec.seed)
    chosen = stratified(np.zeros(len(pieces), np.int64), SHARES, rng)
    parts = [select(x, lengths, None, part) for part in chosen]
    return Parts(spec.label, "next-step", KEYS, KEYS, *parts, dealing=Dealing("sequences"))


def packaged() -> Path:
    """Return where the installed music21 package keeps Bach's works. Raises InputError."""
    found = importlib.util.find_spec("music21")
    for location in (found and found.submodule_search_locations) or ():
        folder = Path(location, "corpus", "bach")
        if folder.is_dir():
            return folder
    raise InputError.of(
        "task.name",
        "the music21 package must be installed: bach-chorales is read from its files",
        "install it with: pip install 'gatesearch[music]'",
    )


@cache
def _pieces(folder: Path) -> tuple[Frames, ...]:
    """Return the frames of all pieces in four parts, in the order of their names, each once."""
    found: dict[bytes, Frames] = {}
    for path in sorted(folder.glob("*.mxl")):
        frames = frames_of(path)
        if frames is not None:
            found.setdefault(frames.tobytes(), frames)
    return tuple(found.values())


def frames_of(path: Path) -> Frames | None:
    """Return what sounds at each quarter note of a piece; None where it has no four parts.

    Quarter notes are counted from the first bar line: an upbeat of an eighth gives no frame.
    """
    parts = _score(path).findall("part")
    if len(parts) != VOICES:
        return None
    notes, end, upbeat = [], 0, 0
    for part in parts:
        ends: list[int] = []
        notes += list(_notes(part, ends))
        end, upbeat = max(end, ends[-1]), ends[0] % TICKS
    frames = np.zeros(((end - upbeat) // TICKS, KEYS), np.float32)
    for begin, stop, pitch in notes:
        first, last = (max(0, -((upbeat - at) // TICKS)) for at in (begin, stop))
        frames[first:last, pitch - LOWEST] = 1
    return frames


def _score(path: Path) -> Any:
    """Return the root of the score that an archive of MusicXML holds."""
    with zipfile.ZipFile(path) as archive:
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))
        name = next(each.get("full-path", "") for each in container.iter() if each.get("full-path"))
        return ElementTree.fromstring(archive.read(name))


def _notes(part: Any, ends: list[int]) -> Iterator[Note]:
    """Yield the notes of a part as they sound; ends: filled with the end of each measure."""
    begin, divisions, transposed = 0, 1, 0
    for measure in part.findall("measure"):
        now = end = before = begin
        for each in measure:
            length = int(each.findtext("duration") or 0) * TICKS // divisions
            if each.tag == "attributes":
                divisions = int(each.findtext("divisions") or divisions)
                if (by := each.find("transpose")) is not None:
                    octaves = int(by.findtext("octave-change") or 0)
                    transposed = int(by.findtext("chromatic") or 0) + 12 * octaves
            elif each.tag in ("backup", "forward"):
                now += length if each.tag == "forward" else -length
            elif each.tag == "note" and length:  # a grace note has none
                if each.find("chord") is None:
                    before, now = now, now + length
                if (pitch := each.find("pitch")) is not None:
                    yield before, before + length, _pitch(pitch) + transposed
            end = max(end, now)
        begin = end
        ends.append(begin)


def _pitch(pitch: Any) -> int:
    """Return a pitch as MIDI numbers it."""
    octave, altered = int(pitch.findtext("octave")), float(pitch.findtext("alter") or 0)
    return 12 * (octave + 1) + _SEMITONES[pitch.findtext("step")] + int(altered)
