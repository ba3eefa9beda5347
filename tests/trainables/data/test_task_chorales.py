"""Piano rolls of Bach's chorales, read from MusicXML without music21, against music21 itself."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from spaces.tasks import BachChorales
from trainables.data.tasks import load
from trainables.data.tasks.chorales import frames_of, packaged

CONTAINER = """<?xml version="1.0"?><container><rootfiles>
<rootfile full-path="score.xml"/></rootfiles></container>"""


def score(path: Path, *voices: str) -> Path:
    """Write a score; of each voice, what follows its first measure's attributes."""
    start = "<attributes><divisions>2</divisions></attributes>"
    parts = "".join(f"<part><measure>{start}{voice}</measure></part>" for voice in voices)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("score.xml", f"<score-partwise>{parts}</score-partwise>")
    return path


def note(step: str, octave: int, duration: int, more: str = "") -> str:
    pitch = f"<pitch><step>{step}</step><alter>1</alter><octave>{octave}</octave></pitch>"
    return f"<note>{more}{pitch}<duration>{duration}</duration></note>"


def test_a_frame_holds_what_sounds_at_its_quarter_note(tmp_path: Path) -> None:
    rest = "<note><rest/><duration>8</duration></note>"
    eighths = note("C", 4, 1) + note("D", 4, 1) + note("E", 4, 4) + note("F", 4, 2)
    chord = (
        note("C", 3, 8) + note("G", 3, 8, "<chord/>") + "<backup><duration>8</duration></backup>"
    )
    chord += "<forward><duration>4</duration></forward>" + note("A", 2, 4)
    frames = frames_of(score(tmp_path / "own.mxl", eighths, chord, rest, rest))
    assert frames is not None and frames.shape == (4, 88)
    on = [(np.flatnonzero(frame) + 21).tolist() for frame in frames]
    c_sharp_3, g_sharp_3, a_sharp_2 = 49, 56, 46
    held = [c_sharp_3, g_sharp_3]
    assert on == [[*held, 61], [*held, 65], [a_sharp_2, *held, 65], [a_sharp_2, *held, 66]]


def test_an_upbeat_of_an_eighth_moves_the_grid(tmp_path: Path) -> None:
    bar = "</measure><measure>"
    voice = note("C", 4, 1) + bar + note("D", 4, 2) + note("E", 4, 2)
    frames = frames_of(score(tmp_path / "own.mxl", *[voice] * 4))
    assert frames is not None
    assert [np.flatnonzero(frame).tolist() for frame in frames] == [[63 - 21], [65 - 21]]


def test_a_piece_in_other_parts_than_four_is_left_out(tmp_path: Path) -> None:
    assert frames_of(score(tmp_path / "own.mxl", note("C", 4, 2))) is None


@pytest.mark.parametrize("name", ["bwv66.6", "bwv269", "bwv40.8", "bwv253"])
def test_frames_are_those_that_music21_reads(name: str) -> None:
    music21 = pytest.importorskip("music21")
    path = packaged() / f"{name}.mxl"
    ours = frames_of(path)
    assert ours is not None
    read = music21.converter.parseFile(path, forceSource=True, storePickle=False)
    piece = read.toSoundingPitch()
    upbeat = float(piece.parts[0].getElementsByClass("Measure")[0].duration.quarterLength) % 1
    theirs = np.zeros_like(ours)
    for found in piece.flatten().notes:
        begin = float(found.offset) - upbeat
        first, last = (max(0, int(np.ceil(at))) for at in (begin, begin + found.quarterLength))
        for pitch in found.pitches:
            theirs[first:last, pitch.midi - 21] = 1
    np.testing.assert_array_equal(ours, theirs)


def test_the_chorales_are_as_many_as_the_description_says() -> None:
    pytest.importorskip("music21")
    data = load(BachChorales(name="bach-chorales"), Path())
    assert sum(map(len, data.parts)) == 362 and data.info.inputs == data.info.outputs == 88
    voices = data.train.x.sum(axis=1)
    assert 3.5 < voices.mean() <= 4 and not data.dealing.official_test
