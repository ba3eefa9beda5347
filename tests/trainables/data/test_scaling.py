"""Features and targets get mean 0 and deviation 1 in training; figures stay in the data's units."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refused

from spaces.config import TrialConfig
from spaces.kinds import Metric
from spaces.own_task import OwnData
from spaces.tasks import TaskInfo
from trainables.data.baselines import baselines
from trainables.data.moments import moments
from trainables.data.redealing import Split, redeal
from trainables.data.scaling import scale_notes, standardised
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load
from trainables.training.cohort import cohort_of
from trainables.training.examples import Examples
from trainables.training.trainer import Training

N = 60


def own(folder: Path, kind: Any = "regression", name: str = "own", **changes: Any) -> Data:
    """Ragged data whose targets follow from the features; changes: arrays and `standardise`."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(2, 7, size=N)
    x = rng.normal(size=(int(lengths.sum()), 3)) * [1, 50, 0] + [0, 400, 7]
    standardise = changes.pop("standardise", True)
    y = x[np.cumsum(lengths) - 1, 0] + 0.1 * rng.normal(size=N)
    arrays = {"x": x, "lengths": lengths, "y": y} | changes
    np.savez(folder / f"{name}.npz", **arrays)
    spec = OwnData(kind=kind, data=f"{name}.npz", standardise=standardise)
    return load(spec, folder)


def config(**changes: Any) -> TrialConfig:
    plain = {"cell": "gru", "gates": "reset-after", "depth": 1, "hidden_size": 8, "batch_size": 8}
    plain |= {"learning_rate": 0.02, "max_epochs": 6}
    return TrialConfig(**{**plain, **changes})


def check_standard(part: Sequences, **tolerance: float) -> None:
    """Hold that features (the last of which never changes) and targets are standard."""
    steps, targets = part.all_steps().astype(np.float64), part.targets
    assert targets is not None
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(steps.std(axis=0), [1, 1, 0], atol=1e-5)
    assert targets.dtype == np.float32
    np.testing.assert_allclose([targets.mean(), targets.std()], [0, 1], atol=1e-5)


def test_features_and_targets_are_standardised_on_the_training_part_alone(tmp_path: Path) -> None:
    data = own(tmp_path)
    check_standard(data.train)
    assert data.validation.scaling is data.test.scaling is data.train.scaling
    assert abs(data.test.all_steps().astype(np.float64).mean(axis=0)).max() > 0.01


def test_the_values_themselves_and_their_fingerprint_stay(tmp_path: Path) -> None:
    data, plain = own(tmp_path), own(tmp_path, standardise=False)
    assert data.info == plain.info
    for one, other in zip(data.parts, plain.parts, strict=True):
        np.testing.assert_array_equal(one.unscaled()[:], other.all_steps())
        np.testing.assert_array_equal(one.y, other.targets)
    assert plain.train.scaling is plain.train.y_scaling is None
    assert (plain.unit(plain.train), data.unit(data.train)) == (
        1.0,
        pytest.approx(float(np.std(plain.train.y)), rel=1e-6),
    )


@pytest.mark.parametrize("design", ["splits", "nested"])
def test_a_dealing_is_standardised_on_its_own_training_part(tmp_path: Path, design: Any) -> None:
    data = own(tmp_path)
    dealt = redeal(data, Split(design, 3))
    check_standard(dealt.train)
    assert dealt.unit(dealt.train) != data.unit(data.train)
    assert dealt.test.y_scaling == dealt.train.y_scaling != data.train.y_scaling


@pytest.mark.parametrize("kind", ["next-token", "next-step"])
def test_symbols_and_frames_are_never_scaled(tmp_path: Path, kind: str) -> None:
    x = np.arange(40) % 5 if kind == "next-token" else np.eye(4)[np.arange(40) % 4]
    np.savez(tmp_path / "own.npz", x=x, lengths=np.full(10, 4))
    data = load(OwnData(kind=kind, data="own.npz"), tmp_path)
    assert data.train.scaling is None and not data.dealing.standardised


def test_classes_stay_while_their_features_are_scaled(tmp_path: Path) -> None:
    y = np.arange(N) % 3
    data = own(tmp_path, "classification", y=y)
    assert data.train.targets is data.train.y
    assert data.train.scaling is not None


@pytest.mark.parametrize("value", [0.1, 7.0, 1e-30, 3e38, -123456.7])
def test_a_feature_that_never_changes_is_centred_and_not_stretched(value: float) -> None:
    mean, deviation = moments(np.full((9, 1), value, np.float32))
    assert (mean, deviation) == (np.float32(value), 1)


def trained(data: Data, configs: list[TrialConfig]) -> list[Training]:
    trainings = [Training(each, data, seed=seed) for seed, each in enumerate(configs)]
    for training in trainings:
        training.advance(training.config.max_epochs)
    return trainings


CONFIGS = [config(learning_rate=rate, hidden_size=h) for rate in (0.001, 0.01, 0.1) for h in (4, 8)]


def test_another_unit_of_the_targets_changes_no_ranking_and_no_metric(tmp_path: Path) -> None:
    data = own(tmp_path)
    y = np.load(tmp_path / "own.npz")["y"]
    scaled = own(tmp_path, name="scaled", y=300 + 60 * y)
    ours, theirs = trained(data, CONFIGS), trained(scaled, CONFIGS)
    values = [[t.best.value for t in some if t.best is not None] for some in (ours, theirs)]
    assert np.argsort(values[0]).tolist() == np.argsort(values[1]).tolist()
    for one, other in zip(ours, theirs, strict=True):
        for split in ("validation", "test"):
            before, after = one.evaluate(split), other.evaluate(split)
            assert after["mse"] == pytest.approx(3600 * before["mse"], rel=1e-3)
            assert after["loss"] == pytest.approx(before["loss"], rel=1e-3)
    (mean,), (same,) = baselines(data), baselines(scaled)
    assert same.test["mse"] == pytest.approx(3600 * mean.test["mse"], rel=1e-4)
    assert same.test["loss"] == pytest.approx(mean.test["loss"], rel=1e-4)


def test_targets_far_from_zero_are_learned(tmp_path: Path) -> None:
    own(tmp_path)
    y = np.load(tmp_path / "own.npz")["y"]
    for standardise, learned in ((True, True), (False, False)):
        data = own(tmp_path, y=300 + 60 * y, standardise=standardise)
        (training,) = trained(data, [config(max_epochs=20)])
        (baseline,) = baselines(data)
        assert (training.evaluate("test")["mse"] < baseline.test["mse"] / 2) == learned


def test_members_on_splits_of_their_own_count_in_units_of_their_own(tmp_path: Path) -> None:
    data = own(tmp_path)
    parts = [redeal(data, Split("splits", seed)) for seed in range(3)]
    cohort = cohort_of([Training(config(), part, seed=0) for part in parts])
    cohort.advance(6)
    for part, found in zip(parts, cohort.evaluate("test"), strict=True):
        alone = Training(config(), part, seed=0)
        alone.advance(6)
        assert found == pytest.approx(alone.evaluate("test"), rel=1e-4)
        assert found is not None and found["mse"] == pytest.approx(
            found["loss"] * part.unit(part.train) ** 2
        )


def test_the_scores_of_single_examples_say_their_unit(tmp_path: Path) -> None:
    (training,) = trained(own(tmp_path, y=np.arange(N) * 7.0), [config()])
    metrics, examples = training.evaluate_examples("test")
    read = Examples.read(tmp_path / "scores", examples.write(tmp_path / "scores"))
    assert read.metrics("regression", "mse") == pytest.approx(metrics, rel=1e-5)
    assert metrics["mse"] > 10 * metrics["loss"]


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_value_out_of_all_proportion_is_refused(tmp_path: Path, name: str) -> None:
    data = own(tmp_path)
    arrays = dict(np.load(tmp_path / "own.npz"))
    arrays["split"] = np.array(["train", "val", "test"])[np.arange(N) % 3]
    arrays[name][-1] = 1e37
    refused(lambda: own(tmp_path, **arrays), f"own.npz: {name}", "scaling: none")
    assert own(tmp_path, **arrays, standardise=False).info.kind == data.info.kind


def unscaled(x: np.ndarray, y: np.ndarray | None = None) -> Data:
    kind = "classification" if y is None else "regression"
    info = TaskInfo("own", kind, x.shape[1], 1, 4, Metric("loss", "minimize"))
    part = Sequences(x.astype(np.float32), np.full(len(x) // 4, 4), y)
    return Data(info, part, part, part)


def ordinary(columns: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, columns))


def test_ordinary_data_brings_no_note() -> None:
    assert scale_notes(unscaled(ordinary(3), ordinary(1)[:100, 0].astype(np.float32))) == []


@pytest.mark.parametrize(("factor", "shift"), [(1e4, 0), (1e-4, 0), (1, 100)])
def test_a_feature_off_scale_is_named_with_its_figures(factor: float, shift: float) -> None:
    x = ordinary(3)
    x[:, 1] = x[:, 1] * factor + shift
    (note,) = scale_notes(unscaled(x))
    assert note.startswith("x: feature 1 has mean ")


def test_a_target_off_scale_is_named() -> None:
    y = (ordinary(1)[:100, 0] * 1000 + 5000).astype(np.float32)
    (note,) = scale_notes(unscaled(ordinary(2), y))
    assert note.startswith("y: feature 0 has mean ")


def test_a_constant_feature_is_named() -> None:
    x = ordinary(2)
    x[:, 0] = 7
    assert scale_notes(unscaled(x)) == ["x: feature 0 never changes in the training part"]


def test_what_is_standardised_brings_no_note_of_its_scale(tmp_path: Path) -> None:
    x = ordinary(2) * [1e6, 1e-6] + [0, 5]
    plain = unscaled(x, (ordinary(1)[:100, 0] * 60 + 3000).astype(np.float32))
    assert len(scale_notes(plain)) == 2
    assert scale_notes(standardised(plain)) == []
    frames = replace(plain, info=replace(plain.info, kind="next-step"))
    assert scale_notes(frames) == []
