"""Japanese vowels: nine speakers, distinguished by how they say /ae/.

640 utterances of 7 to 29 frames with 12 LPC cepstrum coefficients each (Kudo, Toyama & Shimbo,
"Multidimensional curve classification using passing-through regions", Pattern Recognition Letters
20, 1999; UCI Machine Learning Repository), as shipped in the aeon package. The official test part
(370) stays as it is. A third of the official training part (270, 30 a speaker) is for validation,
10 a speaker: with fewer, every good model scores 100 % and no two can be distinguished.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.tasks import JapaneseVowels
from trainables.data.sequences import Dealing, Sequences
from trainables.data.splits import Parts, select, stratified
from trainables.data.tasks.archive import packaged

FEATURES = 12
SPEAKERS = 9
SHARES = (2 / 3, 1 / 3)  # of the official training part


def load(spec: JapaneseVowels, base: Path) -> Parts:
    """Return the task with features standardised: mean 0 and deviation 1 over the training steps.

    The coefficients' spreads differ by a factor of five; the scaling is learned on the training
    part alone, and `scaling` returns it.
    """
    train, validation, test = _unscaled(spec.seed)
    mean, deviation = _moments(train)
    scaled = [
        Sequences((part.x.astype(np.float32) - mean) / deviation, part.lengths, part.y)
        for part in (train, validation, test)
    ]
    dealing = Dealing(official_test=True, standardised=True)
    return Parts(spec.name, "classification", FEATURES, SPEAKERS, *scaled, dealing=dealing)


def scaling(spec: JapaneseVowels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and deviation [12]: what `load` subtracts from the features and divides by."""
    return _moments(_unscaled(spec.seed)[0])


def _unscaled(seed: int) -> tuple[Sequences, Sequences, Sequences]:
    x, lengths, y = _read("TRAIN")
    training, held_out = stratified(y, SHARES, np.random.default_rng(seed))
    return (
        select(x, lengths, y, training),
        select(x, lengths, y, held_out),
        Sequences(*_read("TEST")),
    )


def _moments(train: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    steps = train.x.astype(np.float64)
    return steps.mean(axis=0).astype(np.float32), steps.std(axis=0).astype(np.float32)


def _read(part: str) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Return x [steps, 12], lengths [n] and y [n] of one .ts file.

    After "@data" a line is an utterance: twelve series, split by colons, and the speaker 1 to 9.
    aeon's own reader does the same, but importing it takes seconds, in every worker.
    """
    lines = (
        (packaged("JapaneseVowels", "japanese-vowels") / f"JapaneseVowels_{part}.ts")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    pieces, speakers = [], []
    for line in lines[lines.index("@data") + 1 :]:
        *series, speaker = line.split(":")
        pieces.append(np.array([values.split(",") for values in series], dtype=np.float32).T)
        speakers.append(int(speaker) - 1)
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    return np.ascontiguousarray(np.concatenate(pieces)), lengths, np.array(speakers, dtype=np.int64)
