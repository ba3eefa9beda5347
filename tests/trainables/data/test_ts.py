"""Own data from .ts files: the same as from arrays, and refused by line."""

from pathlib import Path
from typing import Any

import aeon.datasets
import numpy as np
import pytest
from refusals import refused

from spaces.own_task import OwnData
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

ARCHIVE = Path(aeon.datasets.__file__).parent / "data"
NAMES = ("TRAIN", "TEST")
HEAD = "# two dimensions\n@problemName own\n@classLabel true 1 10 9\n@data\n"


def load_text(folder: Path, text: str, kind: Any = "classification") -> Data:
    (folder / "own.ts").write_text(text)
    return load(OwnData(kind=kind, data="own.ts"), folder)


def sequences() -> tuple[list[Any], list[int]]:
    """Twelve ragged sequences of two dimensions, and their classes."""
    rng = np.random.default_rng(0)
    pieces = [rng.normal(size=(rng.integers(2, 6), 2)).astype(np.float32) for _ in range(12)]
    return pieces, [(1, 10, 9)[number % 3] for number in range(12)]


def lines(end: bool = True) -> list[str]:
    return [
        ":".join(",".join(map(str, dimension)) for dimension in piece.T) + f":{label}" * end
        for piece, label in zip(*sequences(), strict=True)
    ]


def test_a_ts_file_gives_the_same_data_as_arrays(tmp_path: Path) -> None:
    pieces, labels = sequences()
    lengths = [len(piece) for piece in pieces]
    np.savez(tmp_path / "own.npz", x=np.concatenate(pieces), lengths=lengths, y=labels)
    arrays = load(OwnData(kind="classification", data="own.npz"), tmp_path)
    ours = load_text(tmp_path, HEAD + "\n".join(lines()) + "\n\n")
    assert ours.info == arrays.info
    assert ours.info.labels == (1, 9, 10)


def test_files_of_the_archive_are_read(tmp_path: Path) -> None:
    for name, inputs, classes in (("JapaneseVowels", 12, 9), ("BasicMotions", 6, 4)):
        path = ARCHIVE / name / f"{name}_TRAIN.ts"
        info = load(OwnData(kind="classification", data=str(path)), tmp_path).info
        assert (info.inputs, info.outputs) == (inputs, classes)
    assert info.labels == ("Badminton", "Running", "Standing", "Walking")


def test_targets_may_be_numbers(tmp_path: Path) -> None:
    text = (HEAD + "\n".join(lines())).replace("@classLabel true 1 10 9", "@targetLabel true")
    data = load_text(tmp_path, text, "regression")
    found = np.concatenate([part.y for part in data.parts if part.y is not None])
    assert sorted(found.tolist()) == sorted(map(float, sequences()[1]))


def test_new_sequences_need_no_labels(tmp_path: Path) -> None:
    info = load_text(tmp_path, HEAD + "\n".join(lines())).info
    (tmp_path / "new.ts").write_text("@classLabel false\n@data\n" + "\n".join(lines(end=False)))
    found, ragged = read_new(tmp_path / "new.ts", info)
    np.testing.assert_array_equal(found.x, np.concatenate(sequences()[0]))
    assert ragged.y is None


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("1,?:1,2:9", ("own.ts: line 17: dimension 1, step 2", "missing", "fill the gaps")),
        ("1,2:1,NaN:9", ("own.ts: line 17: dimension 2, step 2", "missing", "missing: forward}")),
        ("1,x:1,2:9", ("line 17: dimension 1, step 2", "numbers, not 'x'", "correct")),
        ("1,1e99:1,2:9", ("line 17: dimension 1, step 2", "at most 3.4e+38", "fill")),
        ("1,2:1:9", ("line 17: dimension 2", "has 1, the first has 2", "cut or fill")),
        ("1,2:9", ("line 17", "must have 2 dimensions", "correct the line")),
        ("9", ("line 17", "after a colon, the label", "add the label")),
        ("1,2:1,2:", ("line 17", "must have a label", "add it")),
        ("(2020-01-01,2):(1,2):9", ("line 17", "time stamps", "as .csv")),
    ],
)
def test_what_breaks_a_rule_is_refused_by_line(
    line: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    text = HEAD + "\n".join([*lines(), line])
    refused(lambda: load_text(tmp_path, text), *parts)


def test_a_file_without_labels_or_data_is_refused(tmp_path: Path) -> None:
    text = "@classLabel false\n@data\n" + "\n".join(lines(end=False))
    refused(lambda: load_text(tmp_path, text), "needs a label", "@classLabel true")
    refused(lambda: load_text(tmp_path, HEAD), "own.ts", "at least one sequence")
    refused(lambda: load_text(tmp_path, "1,2\n"), "line 1", "lines of @ and @data")
    refused(lambda: load_text(tmp_path, HEAD + "a:9\n", "regression"), "numbers")


def test_a_second_file_is_the_test_part(tmp_path: Path) -> None:
    files = {part: str(ARCHIVE / f"JapaneseVowels/JapaneseVowels_{part}.ts") for part in NAMES}
    data = {"file": files["TRAIN"], "test": files["TEST"]}
    ours = load(OwnData(kind="classification", data=data), tmp_path)
    assert [len(part) for part in ours.parts] == [203, 67, 370]
    assert ours.dealing.official_test
    whole = load(OwnData(kind="classification", data=files["TEST"]), tmp_path)
    np.testing.assert_array_equal(
        np.sort(ours.test.unscaled()[:], axis=0),
        np.sort(np.concatenate([part.unscaled()[:] for part in whole.parts]), axis=0),
    )


def test_a_test_part_of_another_form_is_refused(tmp_path: Path) -> None:
    data = {"file": "own.ts", "test": "test.ts"}
    spec = OwnData(kind="classification", data=data)
    (tmp_path / "own.ts").write_text(HEAD + "\n".join(lines()))
    refused(lambda: load(spec, tmp_path), "test.ts", "must exist")
    (tmp_path / "test.ts").write_text(HEAD + "1,2:9\n")
    refused(lambda: load(spec, tmp_path), "test.ts", "2 features a step", "not 1")
    (tmp_path / "test.ts").write_text(HEAD + "1,2:1,2:8\n")
    refused(lambda: load(spec, tmp_path), "test.ts", "1, 9 and 10", "not 8")
    (tmp_path / "test.ts").write_text(HEAD + "1,2:1,nan:9\n")
    refused(lambda: load(spec, tmp_path), "test.ts: line 5: dimension 2, step 2")
    with pytest.raises(ValueError, match="of the same form"):
        OwnData(kind="classification", data={"file": "own.ts", "test": "test.csv"})
