"""Targets of steps, labels and several numbers: what is refused, and that padding never counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_trainings import small_config

from spaces.errors import InputError
from spaces.kinds import TaskKind
from spaces.own_task import OwnData
from trainables.data.batches import Batch, Batches
from trainables.data.redealing import Split, redeal
from trainables.data.tasks import load
from trainables.training.class_weights import class_weights
from trainables.training.metrics import SCORES, Totals
from trainables.training.trainer import Training

LENGTHS = np.arange(40) % 5 + 1
STEPS = int(LENGTHS.sum())


def arrays(kind: TaskKind, outputs: int = 2) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(STEPS, 2)).astype(np.float32)
    y: Any = np.array(["rest", "walk"])[(x[:, 0] > 0).astype(int)]
    if kind == "multi-label":
        y = draw.integers(0, 2, (len(LENGTHS), outputs))
    elif kind == "regression":
        y = draw.normal(size=(len(LENGTHS), outputs)) * 10.0 ** np.arange(outputs)
    return {"x": x, "lengths": LENGTHS, "y": y}


def loaded(folder: Path, kind: TaskKind, **changes: Any) -> Any:
    np.savez(folder / "own.npz", **{**arrays(kind), **changes})
    return load(OwnData(kind=kind, data="own.npz"), folder)


@pytest.mark.parametrize("kind", ["tagging", "multi-label", "regression"])
def test_padding_changes_no_figure_and_is_never_counted(kind: TaskKind, tmp_path: Path) -> None:
    """Whatever stands in the padding, of x and of targets."""
    data = loaded(tmp_path, kind)
    model = Training(small_config(), data, seed=1).model.eval()
    batches = Batches(data.train, kind)
    batch = batches.batch(next(batches.ordered_choices()))
    assert batch.ragged
    padding_TB = torch.arange(len(batch.x))[:, None] >= batch.lengths
    x, targets = batch.x.clone(), batch.targets.clone()
    x[padding_TB] = 7.0
    if kind == "tagging":
        targets[padding_TB] = 1 - targets[padding_TB]
    figures = []
    for each in (batch, Batch(x, batch.lengths, targets)):
        totals = Totals(data.info)
        with torch.inference_mode():
            totals.add(SCORES[kind](model(each.x, each.lengths), each))
        figures.append(totals.metrics())
    assert figures[0] == figures[1]
    expected = int(batch.lengths.sum()) if kind == "tagging" else len(batch.lengths)
    assert SCORES[kind](model(x, batch.lengths), batch).count == expected


@pytest.mark.parametrize("design", ["splits", "nested"])
@pytest.mark.parametrize("kind", ["tagging", "multi-label", "regression"])
def test_targets_stay_with_their_sequences_when_data_is_dealt_anew(
    kind: TaskKind, design: Any, tmp_path: Path
) -> None:
    data = loaded(tmp_path, kind)
    dealt = redeal(data, Split(design, 3))

    def pairs(given: Any) -> set[tuple[bytes, bytes]]:
        found = set()
        for part in given.parts:
            for at in range(len(part)):
                one = part.chosen(np.array([at]))
                y = one.step_targets() if one.stepwise else one.y
                found.add((one.unscaled()[:].tobytes(), y.tobytes()))
        return found

    assert pairs(dealt) == pairs(data)
    assert len(pairs(data)) == len(LENGTHS)


def test_several_targets_are_scaled_each_by_itself_on_the_training_part(tmp_path: Path) -> None:
    data = loaded(tmp_path, "regression")
    scaled = np.asarray(data.train.targets)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-5)
    assert data.unit(data.train) == 1.0  # two targets have two units
    changed = arrays("regression")
    changed["y"][np.isin(changed["y"], data.test.y)] += 1000
    again = loaded(tmp_path, "regression", y=changed["y"])
    for before, after in zip(data.train.y_scaling, again.train.y_scaling, strict=True):
        np.testing.assert_array_equal(before, after)


def test_weights_of_tagging_count_steps(tmp_path: Path) -> None:
    data = loaded(tmp_path, "tagging")
    weights = class_weights(small_config(class_weights="balanced"), data)
    assert weights is not None
    assert weights[data.train.step_targets()].mean() == pytest.approx(1)


def test_tags_of_a_table_are_those_of_an_npz(tmp_path: Path) -> None:
    held = arrays("tagging")
    npz = loaded(tmp_path, "tagging")
    rows = ["who,a,b,doing"]
    who = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    for one, (a, b), y in zip(who, held["x"].tolist(), held["y"], strict=True):
        rows.append(f"{one},{a!r},{b!r},{y}")
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    section = {"file": "own.csv", "id": "who", "target": "doing"}
    table = load(OwnData.model_validate({"kind": "tagging", "data": section}), tmp_path)
    assert table.info.fingerprint == npz.info.fingerprint
    assert table.info.labels == npz.info.labels == ("rest", "walk")


@pytest.mark.parametrize(
    ("kind", "y", "rule"),
    [
        ("tagging", np.zeros(len(LENGTHS), int), f"one for each of the {STEPS} steps"),
        ("tagging", np.zeros(STEPS), "classes must be text or whole numbers"),
        ("multi-label", np.zeros(len(LENGTHS), int), r"y must be \[n, labels\]"),
        ("multi-label", np.full((len(LENGTHS), 2), 2), "each label must be 0 or 1"),
        ("multi-label", np.full((len(LENGTHS), 2), "a"), "multi-label targets must be numbers"),
        ("regression", np.full((len(LENGTHS), 2), np.nan), "targets must be finite"),
        ("regression", np.zeros((3, 2)), r"y must be \[n\]"),
    ],
)
def test_targets_of_another_form_are_refused(
    kind: TaskKind, y: Any, rule: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rule):
        loaded(tmp_path, kind, y=y)
