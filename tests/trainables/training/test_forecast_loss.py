"""Losses of distributions are those of torch and scikit-learn; cohorts train as members alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from small_trainings import points, small_config

from spaces.forecast import Forecast
from spaces.own_task import OwnData
from trainables.data.baselines import baselines
from trainables.data.naive_spread import FLOOR as NAIVE_FLOOR
from trainables.data.naive_spread import naive_losses
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.layers.forecast_head import FLOOR, as_forecast, as_relative
from trainables.training.cohort import cohort_of
from trainables.training.forecast_loss import forecast_losses
from trainables.training.metrics import Totals, score
from trainables.training.stacked_scores import score as stacked_score
from trainables.training.trainer import Training

LEVELS = (0.05, 0.5, 0.8, 0.9)
GAUSSIAN = Forecast("gaussian")
QUANTILE = Forecast("quantile", LEVELS)
STEPS = 3


def readout(forecast: Forecast, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, forecast.numbers * STEPS, generator=generator) * 3


def targets(seed: int = 1) -> torch.Tensor:
    return torch.randn(7, STEPS, generator=torch.Generator().manual_seed(seed))


def test_the_gaussian_loss_is_torch_s() -> None:
    outputs = as_forecast(readout(GAUSSIAN), GAUSSIAN)
    mean, deviation = outputs.chunk(2, dim=-1)
    assert (deviation >= FLOOR).all() and NAIVE_FLOOR == FLOOR
    expected = -torch.distributions.Normal(mean, deviation).log_prob(targets()).mean(-1)
    torch.testing.assert_close(forecast_losses(outputs, targets(), GAUSSIAN), expected)


def test_the_pinball_loss_is_scikit_learn_s_and_quantiles_are_in_order() -> None:
    outputs = as_forecast(readout(QUANTILE), QUANTILE)
    by_level = outputs.unflatten(-1, (len(LEVELS), STEPS))
    assert (by_level.diff(dim=1) > 0).all()
    found = forecast_losses(outputs, targets(), QUANTILE).mean()
    expected = np.mean(
        [
            mean_pinball_loss(targets().flatten(), by_level[:, at].flatten(), alpha=level)
            for at, level in enumerate(LEVELS)
        ]
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("forecast", [GAUSSIAN, QUANTILE], ids=["gaussian", "quantile"])
def test_a_naive_forecast_s_loss_is_that_of_the_same_outputs(forecast: Forecast) -> None:
    """Its errors in training are its spread: NumPy and torch say the same of it."""
    errors, training = targets(2).double(), targets(3).double()
    if forecast is GAUSSIAN:
        spread = training.square().mean(0).sqrt()
        outputs = torch.cat([torch.zeros(STEPS), spread]).double()
    else:
        levels = torch.tensor(LEVELS, dtype=torch.float64)
        outputs = (training.quantile(levels, dim=0) - training.quantile(0.5, dim=0)).flatten()
    expected = forecast_losses(outputs.expand(7, -1), errors, forecast)
    found = naive_losses(forecast, training.numpy())(errors.numpy())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)


def series(folder: Path, **options: Any) -> Data:
    """A wave that lies around 100, with noise."""
    draw = np.random.default_rng(0)
    x = 100 + 20 * np.sin(np.arange(120) / 3) + draw.normal(size=120)
    np.savez(folder / "own.npz", x=x[:, None], lengths=[120])
    plain = {"kind": "forecasting", "data": "own.npz", "horizon": STEPS, "window": 8, "season": 8}
    return load(OwnData.model_validate({**plain, **options}), folder)


@pytest.mark.parametrize("metric", ["mae", "mase", None])
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("likelihood", ["gaussian", "quantile"])
def test_a_member_of_a_cohort_trains_as_it_does_alone(
    likelihood: str, relative: bool, metric: str | None, tmp_path: Path
) -> None:
    own = {"gaussian": "nll", "quantile": "pinball"}[likelihood]
    options = {"likelihood": likelihood, "relative": relative}
    data = series(tmp_path, metric=metric or own, **options)
    alone, *cohort = (Training(small_config(), data, seed=seed) for seed in (3, 3, 4))
    alone.advance(2)
    cohort_of(cohort).advance(2)
    assert points(cohort[0]) == points(alone)
    metrics, examples = alone.evaluate_examples("test")
    assert examples.metrics("forecasting", metric or own, data.info.ahead.likelihood) == (
        pytest.approx(metrics, rel=1e-5)
    )
    assert metrics.keys() == {"loss", own, metric or own}
    assert all(b.test.keys() == metrics.keys() for b in baselines(data))


@pytest.mark.parametrize("likelihood", ["gaussian", "quantile"])
def test_stacked_scores_are_those_of_one_model(likelihood: str, tmp_path: Path) -> None:
    data = series(tmp_path, likelihood=likelihood)
    training = Training(small_config(), data, seed=3)
    batch = next(training.batches.shuffled(8, 0, 1))
    outputs = training.model(batch.x, batch.lengths)
    found = stacked_score(data.info, outputs[None], batch.targets[None], batch.lengths[None])
    one = score(data.info, outputs, batch)
    torch.testing.assert_close(found.losses[0], one.loss)
    assert one.predicted is not None
    assert torch.equal(one.predicted[0], outputs[:, data.info.central].detach())
    totals = Totals(replace(data.info), data.unit(data.train))
    totals.add(one)
    assert totals.metrics()["mae"] > 0


def test_a_model_that_reads_relative_values_knows_no_level(tmp_path: Path) -> None:
    """The same series a thousand higher has the same forecasts above it; else it has others."""
    same = {}
    for relative in (True, False):
        training = Training(small_config(), series(tmp_path, relative=relative), seed=3)
        training.model.eval()
        x = torch.randn(5, 2, 1)
        lengths = torch.tensor([5, 3])
        moved = [training.model(x + level, lengths) for level in (0.0, 1000.0)]
        same[relative] = torch.allclose(*moved, atol=1e-3)
        padded = torch.where(torch.arange(5)[:, None, None] < lengths[:, None], x, 7.0)
        torch.testing.assert_close(training.model(padded, lengths), moved[0])
        stacked = as_relative(torch.stack([x, x + 4]), torch.stack([lengths, lengths]))
        torch.testing.assert_close(stacked[1], as_relative(x, lengths), atol=1e-5, rtol=0)
    assert same == {True: True, False: False}


@pytest.mark.parametrize("likelihood", ["gaussian", "quantile"])
def test_a_distribution_is_learned(likelihood: str, tmp_path: Path) -> None:
    """After some epochs its likelihood, or pinball loss, is better than the naive forecasts'."""
    data = series(tmp_path, likelihood=likelihood)
    config = small_config(depth=1, dropout=0.0, hidden_size=16, learning_rate=0.02)
    training = Training(config, data, seed=0)
    training.advance(40)
    assert training.evaluate("test")["loss"] < min(b.test["loss"] for b in baselines(data))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"quantiles": [0.1, 0.5]}, "quantiles must be given with likelihood: quantile"),
        ({"likelihood": "quantile", "quantiles": [0.1, 0.9]}, "with 0.5 among them"),
        ({"likelihood": "quantile", "quantiles": [0.9, 0.5]}, "ascending"),
        ({"likelihood": "quantile", "quantiles": [0.5, 1.0]}, "between 0 and 1"),
        ({"likelihood": "poisson"}, "'point', 'gaussian' or 'quantile'"),
        ({"metric": "nll"}, "the metric of a forecasting task must be"),
        ({"likelihood": "gaussian", "metric": "pinball"}, "mae, loss, nll, rmse or mase"),
    ],
)
def test_what_is_no_likelihood_is_refused(
    options: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rule):
        series(tmp_path, **options)
