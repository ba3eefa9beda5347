"""Class weights change the loss of training, whichever way it is trained, and no other figure."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from small_trainings import small_config

from spaces.class_weights import canonical
from spaces.config import TrialConfig
from trainables.data.sequences import Data
from trainables.layers.model import Model
from trainables.training.class_weights import class_weights
from trainables.training.cohort import cohort_of
from trainables.training.stacked_scores import score
from trainables.training.trainer import Training

BALANCED = small_config(class_weights="balanced")


def rare(data: Data) -> Data:
    """The data with few of class 1."""
    y = np.zeros(len(data.train), np.int64)
    y[:3] = 1
    return replace(data, train=replace(data.train, y=y))


def test_balanced_weights_are_those_of_scikit_learn(make_data: Any) -> None:
    data = rare(make_data())
    weights = class_weights(BALANCED, data)
    expected = compute_class_weight("balanced", classes=np.arange(2), y=data.train.y)
    assert weights is not None
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert weights[data.train.y].mean() == pytest.approx(1)
    assert class_weights(small_config(), data) is None


def test_weights_change_what_is_trained_and_not_how_it_is_evaluated(make_data: Any) -> None:
    data = rare(make_data())
    plain, weighted = (Training(one, data, seed=3) for one in (small_config(), BALANCED))
    untrained = plain.weights.clone()
    plain.advance(1)
    weighted.advance(1)
    assert not torch.equal(plain.weights, weighted.weights)
    for training in (plain, weighted):
        training.weights.copy_(untrained)
    assert plain._evaluate(data.test) == weighted._evaluate(data.test)


def test_a_cohort_weighs_classes_as_each_member_does_alone(make_data: Any) -> None:
    data = rare(make_data())
    alone = Training(BALANCED, data, seed=3)
    alone.advance(2)
    members = [Training(BALANCED, data, seed=seed) for seed in (3, 4)]
    cohort_of(members).advance(2)
    assert torch.equal(members[0].weights, alone.weights)


def test_stacked_scores_weigh_classes_as_one_model_s_do(make_data: Any) -> None:
    data = rare(make_data())
    training = Training(BALANCED, data, seed=3)
    assert isinstance(training.model, Model) and training.batches.class_weights is not None
    batch = next(training.batches.shuffled(8, 0, 1))
    training.model.eval()
    outputs = training.model(batch.x, batch.lengths)
    weights = training.batches.class_weights
    found = score(data.info, outputs[None], batch.targets[None], batch.lengths[None], weights[None])
    expected = torch.nn.functional.cross_entropy(outputs, batch.targets, weights, reduction="sum")
    torch.testing.assert_close(found.losses[0], expected)


@pytest.mark.parametrize("given", [{"up": 3, "down": 0.5}, {"up": 3}, [0.5, 3]])
def test_given_figures_are_those_of_the_classes_in_their_order(given: Any, make_data: Any) -> None:
    data = rare(make_data())
    data = replace(data, info=replace(data.info, labels=("down", "up")))
    weights = class_weights(small_config(class_weights=canonical(given)), data)
    assert weights is not None
    expected = [1.0 if given == {"up": 3} else 0.5, 3.0]
    assert weights.tolist() == expected


def test_given_figures_train_as_balanced_ones_of_the_same_size_do(make_data: Any) -> None:
    data = rare(make_data())
    balanced = class_weights(BALANCED, data)
    assert balanced is not None
    same = small_config(class_weights=canonical(balanced.tolist()))
    trained = [Training(config, data, seed=3) for config in (BALANCED, same)]
    for training in trained:
        training.advance(1)
    assert torch.equal(trained[0].weights, trained[1].weights)


@pytest.mark.parametrize("text", ["heavy", "{}", "[0.0]", '{"a": 2}', "[1, 2]"])
def test_a_configuration_takes_weights_in_one_form_alone(text: str) -> None:
    plain = small_config().model_dump()
    with pytest.raises(ValueError, match="class_weights must be balanced"):
        TrialConfig(**{**plain, "class_weights": text})
