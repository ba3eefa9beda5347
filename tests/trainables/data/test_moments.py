"""Moments in stretches are, bit for bit, those of all values at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.data import moments as module
from trainables.data import rows
from trainables.data.moments import moments
from trainables.data.sequences import Sequences, fingerprint


def at_once(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What moments() has always been, where no value is missing and none is constant."""
    columns = values.astype(np.float64)
    return columns.mean(axis=0).astype(np.float32), columns.std(axis=0).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK_BYTES", 8 * 700)
    monkeypatch.setattr(module, "BLOCK_BYTES", 8 * 700)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("features", [1, 2, 3, 16, 90])
@pytest.mark.parametrize("number", [2, 7, 699, 701, 12_345])
def test_stretches_change_no_bit(features: int, number: int) -> None:
    values = np.random.default_rng(0).normal(3, 1e3, (number, features)).astype(np.float32)
    for found, wanted in zip(moments(values), at_once(values), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.usefixtures("small_blocks")
def test_missing_values_change_no_bit_of_what_is_known() -> None:
    values = np.random.default_rng(1).normal(size=(5_000, 5)).astype(np.float32)
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    values[:, 3] = np.nan
    mean, deviation = moments(values)
    assert (mean[3], deviation[3]) == (0, 1)
    for feature in (0, 1, 2, 4):
        column = values[:, feature : feature + 1]
        known = column[~np.isnan(column)][:, None]
        assert (mean[feature], deviation[feature]) == tuple(each[0] for each in at_once(known))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("stepwise", [False, True])
def test_a_part_read_from_a_longer_x_has_the_fingerprint_and_moments_of_its_own_copy(
    stepwise: bool,
) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 30, 200)
    x = rng.normal(size=(lengths.sum(), 4)).astype(np.float32)
    y = rng.integers(0, 3, len(x) if stepwise else len(lengths))
    whole = Sequences(x, lengths, y, stepwise=stepwise)
    part = whole.chosen(rng.permutation(200)[:77])
    spans = [slice(s, s + n) for s, n in zip(part.starts, part.lengths, strict=True)]
    assert part.y is not None
    own_y = np.concatenate([y[span] for span in spans]) if stepwise else part.y
    own_x = np.concatenate([x[span] for span in spans])
    copy = Sequences(own_x, part.lengths, own_y, stepwise=stepwise)
    np.testing.assert_array_equal(part.unscaled()[:], copy.x)
    assert fingerprint(part) == fingerprint(copy)
    for found, wanted in zip(moments(part.unscaled()), at_once(copy.x), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_parts_of_own_data_share_one_x(tmp_path: Path) -> None:
    from spaces.own_task import OwnData
    from trainables.data.tasks import load

    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 2)).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=x, lengths=np.full(30, 10), y=np.arange(30) % 3)
    data = load(OwnData(kind="classification", data="a.npz"), tmp_path)
    assert data.train.x is data.validation.x is data.test.x
    assert len(data.train.x) == 300
