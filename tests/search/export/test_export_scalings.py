"""Scalings and transforms: fitted on the training part alone, exported, alike in predictions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_jobs import SmallJob
from refusals import refused
from sklearn import preprocessing

from search.export.export import export
from search.export.predict import apply
from search.job.spec import JobSpec
from spaces.own_task import OwnData
from trainables.data import tasks, transforms
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data

WAYS = ("standard", "robust", "min-max", "none")
TRANSFORMS = (None, "log", "signed-log")
SPLIT = np.array(["train", "val", "test"] * 20)
draw = np.random.default_rng(8)
LENGTHS = draw.integers(2, 7, 60)
Y = np.arange(60) % 2
X = np.exp(draw.normal(1, 1.5, (int(LENGTHS.sum()), 3)) + np.repeat(Y, LENGTHS)[:, None])
X[:, 2] *= 100


def write(folder: Path, x: Any = X, y: Any = Y) -> None:
    np.savez(folder / "own.npz", x=x, lengths=LENGTHS, y=y, split=SPLIT)


def load(folder: Path, kind: str = "classification", **more: Any) -> Data:
    return tasks.load(OwnData(kind=kind, data="own.npz", **more), folder)  # type: ignore[arg-type]


def parts_of(x: Any) -> list[Any]:
    """Return the steps of training, validation and test part."""
    each = np.split(x, np.cumsum(LENGTHS)[:-1])
    return [np.concatenate(each[at::3]) for at in range(3)]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("scaling", WAYS)
def test_features_are_what_scikit_learn_makes_of_them(
    scaling: str, transform: str | None, tmp_path: Path
) -> None:
    """RobustScaler, MinMaxScaler and StandardScaler, fitted on the training part."""
    write(tmp_path)
    data = load(tmp_path, scaling=scaling, transform=transform)
    logs = X if transform is None else np.log1p(X)
    scaler = {
        "standard": preprocessing.StandardScaler(),
        "robust": preprocessing.RobustScaler(),
        "min-max": preprocessing.MinMaxScaler(),
        "none": preprocessing.FunctionTransformer(),
    }[scaling].fit(parts_of(logs)[0])
    for part, steps in zip(data.parts, parts_of(logs), strict=True):
        expected = scaler.transform(steps)
        np.testing.assert_allclose(part.all_steps(), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("scaling", WAYS[:-1])
def test_what_is_not_for_training_changes_nothing_that_is_fitted(
    scaling: str, transform: str | None, tmp_path: Path
) -> None:
    found = []
    for factor in (1, 100):
        x, y = X.copy(), Y * 3.0 + 1
        x[np.repeat(SPLIT != "train", LENGTHS)] *= factor
        y[SPLIT != "train"] *= factor
        write(tmp_path, x, y)
        found.append(load(tmp_path, "regression", scaling=scaling, transform=transform))
    one, other = found
    np.testing.assert_array_equal(one.train.scaling, other.train.scaling)
    assert one.train.y_scaling == other.train.y_scaling
    np.testing.assert_array_equal(one.train.all_steps(), other.train.all_steps())
    dealt = redeal(one, Split("splits", 1))
    assert dealt.dealing.scaling == scaling and dealt.train.scaling is not None
    assert not np.array_equal(dealt.train.scaling[1], one.train.scaling[1])  # type: ignore[index]


def test_standardise_is_read_as_before(tmp_path: Path) -> None:
    write(tmp_path)
    for said, same in (({"standardise": False}, "none"), ({}, "standard")):
        one, other = load(tmp_path, **said), load(tmp_path, scaling=same)
        np.testing.assert_array_equal(one.train.all_steps(), other.train.all_steps())
        assert one.info == other.info


def test_a_feature_that_hardly_changes_is_centred_alone(tmp_path: Path) -> None:
    x = X.copy()
    x[:, 0] = 7
    x[3, 0] = 8  # the quartiles are the same
    write(tmp_path, x)
    assert np.ptp(load(tmp_path, scaling="robust").train.all_steps()[:, 0]) <= 1


def test_values_that_do_not_fit_are_refused_where_they_stand(tmp_path: Path) -> None:
    x = X.copy()
    x[0, 1] = -3
    write(tmp_path, x)
    refused(lambda: load(tmp_path, transform="log"), "x[0, 1]", "at least 0", "signed-log")
    load(tmp_path, transform="signed-log")
    with pytest.raises(ValueError, match="transform must not be given"):
        OwnData(kind="next-step", data="own.npz", transform="log")  # type: ignore[arg-type]


def test_a_signed_log_is_undone_to_the_values_of_before() -> None:
    x = np.array([-1e4, -0.5, 0, 1e-6, 3, 1e6])
    for each in TRANSFORMS:
        values = np.abs(x) if each == "log" else x
        there = transforms.transformed(values, each)  # type: ignore[arg-type]
        np.testing.assert_allclose(transforms.undone(there, each), values)  # type: ignore[arg-type]


def exported(folder: Path, kind: str, **more: Any) -> SmallJob:
    folder.mkdir()
    write(folder, y=Y * 30.0 + 5 if kind == "regression" else Y)
    said = ", ".join(f"{key}: {value}" for key, value in more.items())
    (folder / "job.yaml").write_text(
        f"name: small\ntask: {{kind: {kind}, data: own.npz, {said}}}\narms: [gru]\n"
        "space: {hidden_size: 8, depth: 1}\n"
    )
    job = JobSpec.load(folder / "job.yaml")
    made = SmallJob(folder, job, tasks.load(job.task, job.base))
    made.add("gru")
    export(made.results, folder / "export")
    return made


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("regression", {"scaling": "robust", "transform": "log"}),
        ("regression", {"scaling": "min-max", "transform": "signed-log"}),
        ("classification", {"scaling": "none", "transform": "log"}),
    ],
)
def test_raw_data_is_predicted_in_its_own_units(
    kind: str, more: dict[str, str], tmp_path: Path
) -> None:
    job = exported(tmp_path / "job", kind, **more)
    own = SPLIT == "val"
    steps, y = parts_of(X)[1], (Y * 30.0 + 5 if kind == "regression" else Y)[own]
    np.savez(tmp_path / "new.npz", x=steps, lengths=LENGTHS[own], y=y)
    prediction = apply(job.folder / "export", tmp_path / "new.npz")
    best = min(job.trials[0].curve, key=lambda point: point.rank(job.data.info.metric))
    assert prediction.metrics == pytest.approx(best.metrics, rel=1e-3)
    if more["transform"] == "log":
        np.savez(tmp_path / "new.npz", x=-steps, lengths=LENGTHS[own])
        refused(lambda: apply(job.folder / "export", tmp_path / "new.npz"), "at least 0")
