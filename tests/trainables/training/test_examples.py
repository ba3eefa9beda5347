"""Scores of single examples: every figure of a part comes again from them."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from small_trainings import small_config

from spaces.kinds import METRICS, TaskKind
from trainables.checkpoints.base import CheckpointError
from trainables.data.redealing import Split, redeal
from trainables.data.sequences import Data
from trainables.training.examples import FILE, Examples
from trainables.training.trainer import Training

KINDS = get_args(TaskKind)


def trained(data: Data) -> Training:
    training = Training(small_config(), data, seed=3)
    training.advance(1)
    return training


#: Metrics that are no mean over examples.
NO_MEANS = {"balanced-accuracy", "macro-f1", "auroc", "rmse"}


@pytest.mark.parametrize(
    ("kind", "metric"), [(kind, metric.name) for kind in KINDS for metric in METRICS[kind]]
)
def test_metrics_come_again_from_the_examples(
    kind: TaskKind, metric: str, make_data: Any, tmp_path: Path
) -> None:
    training = trained(make_data(kind, metric=metric))
    metrics, examples = training.evaluate_examples("test")
    assert metrics == training.evaluate("test")
    examples = Examples.read(tmp_path, examples.write(tmp_path))
    assert examples.metrics(kind, metric) == pytest.approx(metrics, rel=1e-5)
    for name, value in metrics.items():
        shares = examples.shares(name)
        assert (shares is None) == (name in NO_MEANS)
        if shares is not None:
            assert shares.sum() / examples.count.sum() == pytest.approx(value, rel=1e-5)
    lengths = training.data.test.lengths
    counts = lengths - 1 if training.data.info.causal else np.ones_like(lengths)
    if kind == "tagging":
        counts = lengths
    assert examples.count.tolist() == counts.tolist()
    assert (examples.correct is not None) == any("accuracy" in name for name in metrics)


@pytest.mark.parametrize("kind", KINDS)
def test_examples_stand_in_the_order_of_the_part(kind: TaskKind, make_data: Any) -> None:
    dealt = redeal(make_data(kind), Split("nested", 1))
    training = trained(dealt)
    _, examples = training.evaluate_examples("test")
    order = np.random.default_rng(0).permutation(len(dealt.test))
    part = dealt.test
    shuffled = part.chosen(order)
    training.data = Data(dealt.info, dealt.train, dealt.validation, shuffled)
    _, again = training.evaluate_examples("test")
    np.testing.assert_allclose(again.loss, examples.loss[order], rtol=1e-4, atol=1e-6)
    assert again.count.tolist() == examples.count[order].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_scores_is_read_as_it_was_written(
    kind: TaskKind, make_data: Any, tmp_path: Path
) -> None:
    _, examples = trained(make_data(kind)).evaluate_examples("test")
    digest = examples.write(tmp_path / "a")
    assert examples.write(tmp_path / "b") == digest, "equal scores are equal bytes"
    read = Examples.read(tmp_path / "a", digest)
    for name, array in vars(examples).items():
        np.testing.assert_array_equal(getattr(read, name), array)
    with np.load(tmp_path / "a" / FILE, allow_pickle=False) as arrays:
        assert set(arrays) >= {"loss", "count"}


def test_a_file_that_is_not_the_journals_is_refused(make_data: Any, tmp_path: Path) -> None:
    _, examples = trained(make_data()).evaluate_examples("test")
    digest = examples.write(tmp_path)
    with pytest.raises(CheckpointError, match="another digest"):
        Examples.read(tmp_path, "0" * 64)
    (tmp_path / FILE).unlink()
    with pytest.raises(CheckpointError, match="no scores"):
        Examples.read(tmp_path, digest)
