"""The user's own data: what is right is split, what is wrong is refused with place and remedy."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.errors import InputError, Problem
from spaces.kinds import TaskKind
from spaces.own_task import OwnData
from trainables.data.formats.own import read_new
from trainables.data.sequences import Data
from trainables.data.tasks import load

N, STEPS, FEATURES = 12, 4, 3  # sequences, steps of each, features of each step

Arrays = dict[str, Any]


def good(kind: TaskKind) -> Arrays:
    """Arrays of a small sound file of a kind."""
    rng = np.random.default_rng(0)
    arrays: Arrays = {"lengths": np.full(N, STEPS)}
    if kind == "next-token":
        return arrays | {"x": rng.integers(0, 5, size=N * STEPS)}
    if kind == "next-step":
        return arrays | {"x": rng.integers(0, 2, size=(N * STEPS, FEATURES))}
    arrays["x"] = rng.normal(size=(N * STEPS, FEATURES))
    return arrays | {"y": np.arange(N) % 2 if kind == "classification" else rng.normal(size=N)}


def load_arrays(folder: Path, arrays: Arrays, kind: TaskKind = "classification") -> Data:
    np.savez(folder / "gestures.npz", **arrays)
    return load(OwnData(kind=kind, data="gestures.npz"), folder)


def refused(action: Callable[[], object]) -> Problem:
    """The one problem that an action is refused for; its text has what a message needs."""
    with pytest.raises(InputError) as caught:
        action()
    (problem,) = caught.value.problems
    assert problem.rule and problem.remedy
    return problem


def changed(array: Any, at: Any, value: Any, dtype: Any = None) -> Any:
    copy = np.array(array, dtype=dtype)
    copy[at] = value
    return copy


G = good("classification")
T = good("next-token")
S = good("next-step")
R = good("regression")
WORDS = np.array(["train"] * 6 + ["val"] * 3 + ["test"] * 3)

#: kind, arrays, where the problem is, a part of the rule, a part of the remedy
REFUSED: dict[str, tuple[TaskKind, Arrays, str, str, str]] = {
    # the set of arrays
    "y missing": ("classification", {"x": G["x"], "lengths": G["lengths"]}, "", "missing y", "y=y"),
    "y not wanted": ("next-token", T | {"y": np.arange(N)}, "", "unknown y", "savez"),
    "misspelt name": (
        "classification",
        {"x": G["x"], "length": G["lengths"], "y": G["y"]},
        "",
        "missing lengths; unknown length",
        "rename: lengths for length",
    ),
    # lengths
    "lengths as floats": (
        "classification", G | {"lengths": np.full(N, 4.0)}, "lengths", "[12] float64", "number"
    ),
    "lengths as a table": (
        "classification", G | {"lengths": np.full((N, 1), 4)}, "lengths", "[12, 1] int64", "number"
    ),
    "no sequence": (
        "classification", G | {"lengths": np.zeros(0, int)}, "lengths", "at least one", "check"
    ),
    "no step": ("classification", G | {"x": np.zeros((0, 3))}, "x", "at least one", "check"),
    "zero length": (
        "classification", G | {"lengths": changed(G["lengths"], 7, 0)}, "lengths[7]",
        "at least 1 step and", "leave",
    ),
    "negative length": (
        "classification", G | {"lengths": changed(G["lengths"], 7, -4)}, "lengths[7]", "-4", "leave"
    ),
    "length beyond x": (
        "classification", G | {"lengths": changed(G["lengths"], 3, 2**60)}, "lengths[3]",
        str(2**60), "correct",
    ),
    "too long in sum": (
        "classification", G | {"lengths": changed(G["lengths"], 0, 5)}, "lengths", "sum to 49",
        "concatenate",
    ),
    "too short in sum": (
        "classification", G | {"lengths": changed(G["lengths"], 0, 3)}, "lengths", "sum to 47",
        "concatenate",
    ),
    "nothing to predict": (
        "next-token",
        T | {"lengths": np.array([1, 7] + [4] * 10)},
        "lengths[0]",
        "at least 2 steps to have a step to predict",
        "leave",
    ),
    # x
    "x of text": ("classification", G | {"x": np.full((48, 3), "a")}, "x", "<U1", "reshape"),
    "x of complex numbers": ("classification", G | {"x": G["x"] * 1j}, "x", "complex128", "x"),
    "x without features": ("classification", G | {"x": np.zeros((48, 0))}, "x", "[48, 0]", "x"),
    "x of one dimension": (
        "classification", G | {"x": np.zeros(48)}, "x", "[48]", "reshape(-1, 1)"
    ),
    "x padded": (
        "classification", G | {"x": np.zeros((48, 4, 3))}, "x", "[48, 4, 3]", "cut off the padding"
    ),
    "x a single number": (
        "classification", G | {"x": np.float64(1), "lengths": np.array([1])}, "x", "[]", "reshape"
    ),
    "NaN": (
        "classification", G | {"x": changed(G["x"], (29, 2), np.nan)},
        "x[29, 2] (sequence 7, step 1, feature 2)", "here it is missing", "missing: forward}",
    ),
    "infinity": (
        "classification", G | {"x": changed(G["x"], (0, 0), -np.inf)},
        "x[0, 0] (sequence 0, step 0, feature 0)", "-inf", "fill",
    ),
    "beyond single precision": (
        "classification", G | {"x": changed(G["x"], (47, 1), 1e300)},
        "x[47, 1] (sequence 11, step 3, feature 1)", "at most 3.4e+38; this one is 1e+300", "fill",
    ),
    "symbols as floats": (
        "next-token", T | {"x": T["x"].astype(float)}, "x", "float64", "return_inverse"
    ),
    "symbols as a table": (
        "next-token", T | {"x": T["x"].reshape(-1, 1)}, "x", "[48, 1]", "return_inverse"
    ),
    "negative symbol": (
        "next-token", T | {"x": changed(T["x"], 5, -1)}, "x[5] (sequence 1, step 1)", "-1", "unique"
    ),
    "huge symbol": (
        "next-token", T | {"x": changed(T["x"], 5, 10**6)}, "x", "largest is 1000000", "unique"
    ),
    "symbol beyond all bounds": (
        "next-token", T | {"x": changed(T["x"], 5, 2**63, np.uint64)}, "x[5] (sequence 1, step 1)",
        str(2**63), "unique",
    ),
    "one symbol": ("next-token", T | {"x": np.full(48, 2)}, "x", "all 48 are 2", "check"),
    "frames not binary": (
        "next-step", S | {"x": changed(S["x"], (9, 2), 64)},
        "x[9, 2] (sequence 2, step 1, feature 2)", "this one is 64", "x > 0",
    ),
    # y
    "y of another length": (
        "classification", G | {"y": np.arange(11)}, "y", "12 sequences; this is [11]", "order"
    ),
    "y one-hot": ("classification", G | {"y": np.eye(12)}, "y", "[12, 12] float64", "argmax(1)"),
    "y as a column": (
        "classification", G | {"y": G["y"].reshape(-1, 1)}, "y", "[12, 1]", "y.ravel()"
    ),
    "y as floats": ("classification", G | {"y": G["y"] * 1.0}, "y", "float64", "astype(int)"),
    "one class": (
        "classification", G | {"y": np.ones(N, int)}, "y", "all 12 sequences have class 1", "check"
    ),
    "target NaN": ("regression", R | {"y": changed(R["y"], 3, np.nan)}, "y[3]", "nan", "leave"),
    "targets of text": ("regression", R | {"y": np.full(N, "1")}, "y", "<U1", "floating"),
    # split
    "split of another length": (
        "classification", G | {"split": WORDS[:-1]}, "split", "[11] <U5", "'train'"
    ),
    "split as numbers": (
        "classification", G | {"split": np.arange(N)}, "split", "int64", "'train'"
    ),
    "unknown split": (
        "classification", G | {"split": changed(WORDS, 2, "dev")}, "split[2]", "'dev'", "rename"
    ),
    "empty split": (
        "classification", G | {"split": np.array(["train"] * 9 + ["test"] * 3)}, "split",
        "no sequence is marked validation", "60/20/20",
    ),
    "class missing in training": (
        "classification",
        G | {"y": np.array([0] * 5 + [1] * 5 + [2, 2]), "split": WORDS},
        "split",
        "missing there: 2",
        "move",
    ),
    "too few to deal": (
        "next-token", {"x": T["x"][:16], "lengths": np.full(4, 4)}, "lengths", "4 sequences", "cut"
    ),
    "as many classes as sequences": (
        "classification", G | {"y": np.arange(N)}, "lengths", "12 sequences of 12 classes", "split"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused_with_place_rule_and_remedy(
    case: str, tmp_path: Path
) -> None:
    kind, arrays, array, rule, remedy = REFUSED[case]
    problem = refused(lambda: load_arrays(tmp_path, arrays, kind))
    assert problem.place == ("gestures.npz" + (f": {array}" if array else ""))
    assert rule in problem.rule
    assert remedy in problem.remedy


def refused_file(path: Path) -> Problem:
    return refused(lambda: load(OwnData(kind="classification", data=path.name), path.parent))


def test_a_missing_file_is_refused_with_the_place_that_was_searched(tmp_path: Path) -> None:
    problem = refused_file(tmp_path / "gestures.npz")
    assert str(tmp_path) in problem.rule
    assert "job file's folder" in problem.remedy


def test_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gestures.npz").mkdir()
    assert "a directory" in refused_file(tmp_path / "gestures.npz").rule


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gestures.npz")
    assert "the data must be a file" in refused_file(tmp_path / "gestures.npz").rule


@pytest.mark.parametrize("content", [b"", b"P", b"x,y\n1,2\n", pickle.dumps({"x": 1})])
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "gestures.npz"
    path.write_bytes(content)
    assert "this is none" in refused_file(path).rule


def test_a_single_array_is_refused_with_the_way_to_save_several(tmp_path: Path) -> None:
    path = tmp_path / "gestures.npz"
    with path.open("wb") as file:
        np.save(file, G["x"])
    problem = refused_file(path)
    assert "single .npy array" in problem.rule
    assert "numpy.savez('gestures.npz'" in problem.remedy


def test_pickled_objects_are_refused_and_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path.joinpath("sprung").touch, ())

    path = tmp_path / "gestures.npz"
    np.savez(path, **(G | {"x": np.array([Trap()], dtype=object)}))
    problem = refused_file(path)
    assert problem.place == "gestures.npz: x"
    assert "pickled" in problem.rule
    assert not tmp_path.joinpath("sprung").exists()


def test_records_and_dates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gestures.npz"
    for x in (np.zeros(4, dtype=[("a", "f4"), ("b", "f4")]), np.zeros(4, dtype="datetime64[s]")):
        np.savez(path, **(G | {"x": x}))
        assert refused_file(path).place == "gestures.npz: x"


def archive_with(path: Path, header: dict[str, Any], content: bytes = b"") -> Path:
    """An .npz file whose x has a header of our own making."""
    np.savez(path, lengths=G["lengths"], y=G["y"])
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", member.getvalue() + content)
    return path


def test_a_header_that_promises_more_than_the_memory_is_refused_before_loading(
    tmp_path: Path,
) -> None:
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 12)}
    problem = refused_file(archive_with(tmp_path / "gestures.npz", header))
    assert problem.place == "gestures.npz: x"
    assert "memory" in problem.rule


def test_a_header_that_does_not_match_its_content_is_refused(tmp_path: Path) -> None:
    for shape, content in (((4, 3), b"\0" * 95), ((4, 3), b"\0" * 10**6), ((-4, 3), b"")):
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        problem = refused_file(archive_with(tmp_path / "gestures.npz", header, content))
        assert problem.place == "gestures.npz: x"
        assert "damaged" in problem.rule


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = archive_with(
        tmp_path / "gestures.npz",
        {"descr": "<f8", "fortran_order": False, "shape": (1, 1)},
        b"\0" * 8,
    )
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x.npy", b"")
    assert "twice x" in refused_file(path).rule


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_off_or_altered_anywhere_is_refused_or_read_and_never_a_crash(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "gestures.npz"
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(path, **G)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[at:]
    else:
        content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        load(OwnData(kind="classification", data="gestures.npz"), path.parent)
    except InputError as error:
        assert error.problems[0].place.startswith("gestures.npz")


def test_absolute_paths_and_paths_below_the_jobs_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "gestures.npz", **G)
    below = load(OwnData(kind="classification", data="data/gestures.npz"), tmp_path)
    absolute = OwnData(kind="classification", data=str(tmp_path / "data" / "gestures.npz"))
    assert load(absolute, Path("/nowhere")).info == below.info
    assert below.info.name == "gestures"


@pytest.mark.parametrize("spelling", ["val", "validation"])
@pytest.mark.parametrize("dtype", [np.str_, np.bytes_])
def test_a_given_split_is_kept(spelling: str, dtype: type, tmp_path: Path) -> None:
    words = np.array(["test", "train", spelling, "train"] * 3).astype(dtype)
    data = load_arrays(tmp_path, G | {"y": np.array([0, 0, 1, 1] * 3), "split": words})
    x = G["x"].astype(np.float32).reshape(N, STEPS, FEATURES)
    np.testing.assert_array_equal(data.test.unscaled()[:], x[0::4].reshape(-1, FEATURES))
    np.testing.assert_array_equal(data.train.unscaled()[:], x[1::2].reshape(-1, FEATURES))
    np.testing.assert_array_equal(data.validation.unscaled()[:], x[2::4].reshape(-1, FEATURES))
    assert data.train.y is not None
    assert data.train.y.tolist() == [0, 1] * 3


def test_a_class_may_be_missing_outside_training(tmp_path: Path) -> None:
    data = load_arrays(tmp_path, G | {"y": np.array([2, 0, 1] * 2 + [0] * 6), "split": WORDS})
    assert data.info.outputs == 3


def test_ragged_sequences_come_through_whole(tmp_path: Path) -> None:
    lengths = np.array([1, 5, 2, 9, 3, 3, 7, 2, 4, 6], dtype=np.uint8)
    owner = np.repeat(np.arange(10), lengths)  # every step says which sequence it is from
    arrays = {"x": owner.reshape(-1, 1), "lengths": lengths, "y": np.arange(10) % 2}
    data = load_arrays(tmp_path, arrays)
    seen = []
    for part in (data.train, data.validation, data.test):
        for start, length in zip(part.starts, part.lengths, strict=True):
            (which,) = set(part.x[start : start + length, 0].astype(int).tolist())
            assert length == lengths[which]
            seen.append(which)
    assert sorted(seen) == list(range(10))


def test_frames_may_be_truth_values_and_features_of_any_number_type(tmp_path: Path) -> None:
    load_arrays(tmp_path, S | {"x": S["x"].astype(bool)}, "next-step")
    reference = load_arrays(tmp_path, G | {"x": (G["x"] * 10).astype(np.int16)})
    for dtype in ("i4", "f4", ">f8", "f2"):
        x = (G["x"] * 10).astype(np.int16).astype(dtype)
        assert load_arrays(tmp_path, G | {"x": x}).info == reference.info
        assert load_arrays(tmp_path, G | {"x": np.asfortranarray(x)}).info == reference.info


def test_a_vocabulary_may_have_symbols_that_training_has_not(tmp_path: Path) -> None:
    x = np.tile([0, 1, 2, 1], N)
    x[-1] = 7
    data = load_arrays(tmp_path, T | {"x": x, "split": WORDS}, "next-token")
    assert data.info.inputs == data.info.outputs == 8


def test_unlabelled_sequences_are_read_for_a_trained_model(tmp_path: Path) -> None:
    info = load_arrays(tmp_path, G).info
    path = tmp_path / "new.npz"
    np.savez(path, x=G["x"], lengths=G["lengths"])
    bare, _ = read_new(path, info)
    np.savez(path, **G)
    labelled, _ = read_new(path, info)
    np.testing.assert_array_equal(bare.x, G["x"].astype(np.float32))
    np.testing.assert_array_equal(labelled.lengths, G["lengths"])
    assert labelled.y is None


def test_sequences_that_do_not_fit_a_trained_model_are_refused(tmp_path: Path) -> None:
    features, tokens = load_arrays(tmp_path, G).info, load_arrays(tmp_path, T, "next-token").info
    path = tmp_path / "new.npz"
    np.savez(path, x=G["x"][:, :2], lengths=G["lengths"])
    problem = refused(lambda: read_new(path, features))
    assert problem.place == "new.npz: x"
    assert "must have 3 features a step, as in training, not 2" in problem.rule
    np.savez(path, x=changed(T["x"], 6, 5), lengths=T["lengths"])
    problem = refused(lambda: read_new(path, tokens))
    assert problem.place == "new.npz: x[6]"
    assert "0 to 4, as in training; this one is 5" in problem.rule
