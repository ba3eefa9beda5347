"""Claims about the model of learning curves: its gradient, its fit, and what it expects."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from search.study.curve_model import CurveModel, Points

COLUMNS = np.array([0, 1, 1, 2])  # of three settings


def drawn(seed: int, number: int = 60) -> tuple[Points, np.ndarray]:
    """Return points on 20 curves whose values depend on the first setting and on the step."""
    rng = np.random.default_rng(seed)
    curve, x = rng.integers(0, 20, number), rng.random((20, 4))
    points = Points(x[curve], rng.random(number), curve)
    own = 0.1 * rng.standard_normal(20)
    y = np.sin(6 * points.x_NC[:, 0]) - points.s + own[curve]
    return points, (y - y.mean()) / y.std()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_is_that_of_the_likelihood(seed: int) -> None:
    model = CurveModel(COLUMNS, short=0, away=lambda x_NC: x_NC[:, 0] ** 2)
    points, y = drawn(seed)
    theta = model.start + 0.3 * np.random.default_rng(seed).standard_normal(len(model.start))
    _, gradient = model._loss(theta, points, y)
    numeric = approx_fprime(theta, lambda t: model._loss(t, points, y)[0], 1e-6)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-3)


def test_a_fit_finds_which_setting_matters() -> None:
    model = CurveModel(COLUMNS)
    points, y = drawn(0, 100)
    scales = model.fit(points, y, model.start, 60)[:3]
    assert scales[0] < min(scales[1:]) - 0.5


def test_a_curve_goes_on_from_its_own_values() -> None:
    """Of two curves of one configuration, each is expected to end near where it has been."""
    model = CurveModel(COLUMNS)
    x, s = np.full((6, 4), 0.5), np.array([0.2, 0.5, 0.8] * 2)
    points = Points(x, s, np.array([0, 0, 0, 1, 1, 1]))
    posterior = model.posterior(points, np.array([1.0, 0.9, 0.8, -0.6, -0.7, -0.8]), model.start)
    mean, deviation = posterior.at(Points(x[:3], np.ones(3), np.array([0, 1, 2])))
    assert mean[0] > mean[2] > mean[1]
    assert deviation[2] > max(deviation[:2])


def test_what_is_thought_beforehand_holds_until_values_say_otherwise() -> None:
    """Far configurations are expected to be worse (larger), but for those beside good far ones."""
    model = CurveModel(COLUMNS, away=lambda x_NC: 4 * x_NC[:, 0])
    near, far = np.zeros((1, 4)), np.ones((1, 4))
    both = Points(np.concatenate([near, far]), np.ones(2), np.array([-1, -2]))
    else_where = Points(np.full((1, 4), 0.5), np.ones(1), np.array([0]))
    mean, _ = model.posterior(else_where, np.zeros(1), model.start).at(both)
    assert mean[0] < mean[1]
    seen = Points(np.concatenate([near, far]), np.ones(2), np.array([0, 1]))
    mean, _ = model.posterior(seen, np.array([1.0, -1.0]), model.start).at(both)
    assert mean[0] > mean[1]
