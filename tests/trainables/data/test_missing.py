"""Missing values are filled from the past and the training part alone, alike in all formats."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray
from refusals import refused

from spaces.own_data import Missing
from spaces.own_task import OwnData
from trainables.data import tasks
from trainables.data.batches import Batches
from trainables.data.missing import features, told
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data

WAYS: tuple[Missing, ...] = ("forward", "mean", "mask")
FORMATS = (".npz", ".csv", ".parquet", ".ts")
NAN = float("nan")
draw = np.random.default_rng(4)
LENGTHS = draw.integers(1, 7, 40)
X: NDArray[np.float32] = draw.normal(3, 2, (int(LENGTHS.sum()), 3)).astype(np.float32).round(3)
X[draw.random(X.shape) < 0.4] = np.nan
Y = np.arange(40) % 2
SPLIT = np.array(["train", "val", "test", "train"] * 10)


def write(folder: Path, suffix: str, x: NDArray[Any] = X, **more: Any) -> dict[str, Any]:
    """Write the data in a format, and return the section that names it."""
    path = folder / f"own{suffix}"
    if suffix == ".npz":
        np.savez(path, x=x, lengths=LENGTHS, y=Y, **more)
        return {"file": path.name}
    ends = np.cumsum(LENGTHS)[:-1]
    if suffix == ".ts":
        lines = []
        for steps, label in zip(np.split(x, ends), Y, strict=True):
            values = [",".join("?" if np.isnan(v) else str(v) for v in each) for each in steps.T]
            lines.append(":".join([*values, str(label)]))
        path.write_text("@classLabel true 0 1\n@data\n" + "\n".join(lines) + "\n")
        return {"file": path.name}
    columns = {"who": np.repeat(np.arange(len(LENGTHS)), LENGTHS), "y": np.repeat(Y, LENGTHS)}
    columns |= {name: x[:, at] for at, name in enumerate("abc")}
    if suffix == ".csv":
        rows = [",".join(columns)]
        for row in zip(*columns.values(), strict=True):
            rows.append(",".join("" if np.isnan(value) else str(value) for value in row))
        path.write_text("\n".join(rows) + "\n")
    else:
        table = pa.table({name: pa.array(v, from_pandas=True) for name, v in columns.items()})
        pyarrow.parquet.write_table(table, path)
    return {"file": path.name, "id": "who", "target": "y"}


def load(folder: Path, section: dict[str, Any], missing: Missing, **more: Any) -> Data:
    data = {**section, "missing": missing}
    return tasks.load(OwnData(kind="classification", data=data, **more), folder)


def by_hand(x: NDArray[Any], missing: Missing) -> list[list[float]]:
    """Return what a model is told of one sequence, step by step as the paper has it."""
    found, last, gap = [], [NAN] * x.shape[1], [0.0] * x.shape[1]
    for step, row in enumerate(x):
        if step > 0:
            before = x[step - 1]
            gap = [
                1.0 + (0 if there else g) for g, there in zip(gap, ~np.isnan(before), strict=True)
            ]
        last = [old if np.isnan(new) else new for new, old in zip(row, last, strict=True)]
        there = [float(not np.isnan(value)) for value in row]
        found.append({"forward": last, "mean": list(row), "mask": [*last, *there, *gap]}[missing])
    return found


@pytest.mark.parametrize("steps", [1, 4, 2**17])
@pytest.mark.parametrize("missing", WAYS)
def test_each_sequence_is_told_of_its_own_past_alone(
    missing: Missing, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.missing._STEPS", steps)  # that are filled at once
    expected = [
        row for each in np.split(X, np.cumsum(LENGTHS)[:-1]) for row in by_hand(each, missing)
    ]
    np.testing.assert_array_equal(told(X, LENGTHS, missing), np.array(expected, np.float32))


@pytest.mark.parametrize("missing", WAYS)
def test_a_later_value_changes_nothing_before_it(missing: Missing) -> None:
    changed = X.copy()
    changed[5:] = np.where(np.isnan(X[5:]), 9.0, np.nan)
    before, after = (told(x, LENGTHS, missing)[:5] for x in (X, changed))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("missing", WAYS)
def test_every_format_gives_the_same_data(missing: Missing, tmp_path: Path) -> None:
    found = [load(tmp_path, write(tmp_path, suffix), missing) for suffix in FORMATS]
    assert len({data.info.fingerprint for data in found}) == 1
    for data in found:
        assert data.info.inputs == (9 if missing == "mask" else 3)
        assert features(data.info) == 3
        for part in data.parts:
            assert np.isfinite(part.all_steps()).all()


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_missing_is_refused_with_its_remedy(suffix: str, tmp_path: Path) -> None:
    section = write(tmp_path, suffix)
    refused(lambda: load(tmp_path, section, "refuse"), "missing (", "missing: forward}")


@pytest.mark.parametrize("kind", ["next-step", "next-token", "forecasting"])
def test_what_is_predicted_is_not_filled(kind: str) -> None:
    with pytest.raises(ValueError, match="missing must be refuse"):
        OwnData(
            kind=kind,  # type: ignore[arg-type]
            data={"file": "own.npz", "missing": "mean"},  # type: ignore[arg-type]
            horizon=1 if kind == "forecasting" else None,
        )


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("missing", WAYS)
def test_what_is_fitted_comes_from_the_training_part_alone(
    missing: Missing, standardise: bool, tmp_path: Path
) -> None:
    whole = load(tmp_path, write(tmp_path, ".npz", split=SPLIT), missing, standardise=standardise)
    foreign = np.repeat(SPLIT != "train", LENGTHS)
    changed = X.copy()
    changed[foreign] = np.where(np.isnan(X[foreign]), 100.0, np.nan)
    section = write(tmp_path, ".npz", changed, split=SPLIT)
    other = load(tmp_path, section, missing, standardise=standardise)
    np.testing.assert_array_equal(whole.train.all_steps(), other.train.all_steps())
    assert whole.test.fill is not None and other.test.fill is not None
    np.testing.assert_array_equal(whole.test.fill, other.test.fill)


def test_means_are_those_of_values_that_are_there(tmp_path: Path) -> None:
    data = load(tmp_path, write(tmp_path, ".npz", split=SPLIT), "mask")
    mean = np.nanmean(X[np.repeat(SPLIT == "train", LENGTHS)].astype(np.float64), axis=0)
    assert data.train.fill is not None
    np.testing.assert_array_equal(data.train.fill[:3], mean.astype(np.float32))
    # After standardising, what stands for a value that was never there is 0.
    first = np.flatnonzero(np.isnan(data.train.x[:, 0]))
    assert (data.train.steps(first)[:, 0] == 0).all()
    steps = data.train.all_steps()
    assert set(np.unique(steps[:, 3:6])) == {0.0, 1.0}
    np.testing.assert_allclose(steps[:, 6:].mean(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("missing", WAYS)
def test_a_split_that_is_dealt_anew_has_means_of_its_own(missing: Missing, tmp_path: Path) -> None:
    for standardise in (True, False):
        data = load(tmp_path, write(tmp_path, ".npz"), missing, standardise=standardise)
        again = redeal(data, Split("splits", 3))
        assert again.train.fill is not None and data.train.fill is not None
        assert not np.array_equal(again.train.fill, data.train.fill)
        assert (again.train.scaling is None) != standardise
        assert np.isfinite(again.test.all_steps()).all()


def test_a_feature_that_is_never_there_is_constant(tmp_path: Path) -> None:
    x = X.copy()
    x[:, 1] = np.nan
    for missing in WAYS:
        data = load(tmp_path, write(tmp_path, ".npz", x), missing)
        assert (data.train.all_steps()[:, 1] == 0).all()


@pytest.mark.parametrize("missing", WAYS)
def test_padding_and_company_change_no_sequence(missing: Missing, tmp_path: Path) -> None:
    data = load(tmp_path, write(tmp_path, ".npz"), missing)
    batches = Batches(data.train, "classification")
    (whole,) = batches.ordered()
    for place, at in enumerate(next(batches.ordered_choices())):
        alone = batches.batch(np.array([at]))
        length = int(alone.lengths[0])
        np.testing.assert_array_equal(whole.x[:length, place], alone.x[:, 0])
        assert (whole.x[length:, place] == 0).all()


@pytest.mark.parametrize("missing", WAYS)
def test_complete_data_is_read_as_it_is(missing: Missing, tmp_path: Path) -> None:
    complete = np.nan_to_num(X, nan=1.5)
    plain = load(tmp_path, write(tmp_path, ".npz", complete), "refuse")
    same = load(tmp_path, write(tmp_path, ".npz", complete), missing)
    for ours, theirs in zip(same.parts, plain.parts, strict=True):
        np.testing.assert_array_equal(ours.all_steps()[:, :3], theirs.all_steps())
