"""Claims about the notes on data that is hard to learn from."""

import numpy as np
import pytest

from spaces.tasks import Metric, TaskInfo
from trainables.data.sequences import Data, Sequences, scale_notes


def data(x: np.ndarray, y: np.ndarray | None = None) -> Data:
    kind = "classification" if y is None else "regression"
    info = TaskInfo("own", kind, x.shape[1], 1, 4, Metric("loss", "minimize"))
    part = Sequences(x.astype(np.float32), np.full(len(x) // 4, 4), y)
    return Data(info, part, part, part)


def ordinary(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, columns))


def test_ordinary_data_brings_no_note() -> None:
    assert scale_notes(data(ordinary(3), ordinary(1)[:100, 0].astype(np.float32))) == []


@pytest.mark.parametrize(("factor", "shift"), [(1e4, 0), (1e-4, 0), (1, 100)])
def test_a_feature_off_scale_is_named_with_its_figures(factor: float, shift: float) -> None:
    x = ordinary(3)
    x[:, 1] = x[:, 1] * factor + shift
    (note,) = scale_notes(data(x))
    assert note.startswith("x: feature 1 has mean ")


def test_a_target_off_scale_is_named() -> None:
    y = (ordinary(1)[:100, 0] * 1000 + 5000).astype(np.float32)
    (note,) = scale_notes(data(ordinary(2), y))
    assert note.startswith("y: feature 0 has mean ")


def test_a_constant_feature_is_named() -> None:
    x = ordinary(2)
    x[:, 0] = 7
    assert scale_notes(data(x)) == ["x: feature 0 never changes in the training part"]
