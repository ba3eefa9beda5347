"""Of every kind: what is for test changes no training, and padding changes no figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import points, small_config

from spaces.kinds import METRICS, TaskKind
from spaces.own_task import OwnData
from trainables.data.batches import Batches
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.training.metrics import Totals, score
from trainables.training.trainer import Training

N = 40
#: Series have no split of their own: see test_forecasting.py.
KINDS: tuple[TaskKind, ...] = tuple(kind for kind in METRICS if kind != "forecasting")
PARTS = np.array(["train", "train", "val", "test"])[np.arange(N) % 4]


def loaded(folder: Path, kind: TaskKind, *, changed: bool = False) -> Data:
    """Return ragged data of a kind; changed: with other values and targets in the test part."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 15, N)
    steps, of_test = int(lengths.sum()), np.repeat(PARTS == "test", lengths)
    x: Any = 5 + 3 * draw.standard_normal((steps, 3))
    y: Any = np.arange(N) // 4 % 3
    if kind == "next-token":
        x = draw.integers(0, 5, steps)
    elif kind == "next-step":
        x = draw.integers(0, 2, (steps, 3))
    elif kind == "tagging":
        y = draw.integers(0, 3, steps)
    elif kind == "multi-label":
        y = np.stack([y == 0, y > 1], axis=1).astype(int)
    elif kind == "regression":
        y = 100.0 + 7 * y
    if changed:
        symbols = {"next-token": 4 - x, "next-step": 1 - x}
        x = np.where(of_test if x.ndim == 1 else of_test[:, None], symbols.get(kind, 50 * x), x)
        whose = of_test if kind == "tagging" else PARTS == "test"
        y = np.where(whose if y.ndim == 1 else whose[:, None], y[::-1], y)
    arrays = {"x": x, "lengths": lengths, "split": PARTS, "y": y}
    if kind in ("next-token", "next-step"):
        del arrays["y"]
    np.savez(folder / "own.npz", **arrays)
    return load(OwnData.model_validate({"kind": kind, "data": "own.npz"}), folder)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_for_test_changes_no_training(kind: TaskKind, tmp_path: Path) -> None:
    trained = []
    for changed in (False, True):
        training = Training(small_config(), loaded(tmp_path, kind, changed=changed), seed=1)
        training.advance(2)
        trained.append(training)
    one, other = trained
    assert torch.equal(one.weights, other.weights) and points(one) == points(other)
    assert one.evaluate("test") != other.evaluate("test")


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_company_change_no_figure(kind: TaskKind, tmp_path: Path) -> None:
    """Each sequence alone, without padding, scores as all of them do side by side."""
    data = loaded(tmp_path, kind)
    training = Training(small_config(max_epochs=1), data, seed=1)
    training.advance(1)
    model, batches = training.best_model(), Batches(data.test, kind)
    totals = Totals(data.info, data.unit(data.test))
    with torch.inference_mode():
        for at in range(len(data.test)):
            batch = batches.batch(np.array([at]))
            assert not batch.ragged
            totals.add(score(data.info, model(batch.x, batch.lengths), batch))
    assert totals.metrics() == pytest.approx(training.evaluate("test"), rel=1e-5)
