"""A Gaussian process over configurations and steps: where do unfinished learning curves end?

    k((x, s, i), (x', s', j)) = k_x(x, x') (a + b k_s(s, s')) + m k_s(s, s') + [i = j] c k_o(s, s')

s is the logarithm of a step. k_x is Matern 5/2 with a length scale for each setting; k_s and k_o
are Matern 3/2: what configurations share at all steps (a) and at near ones (b), what all curves
share (m), and what a curve has of its own (c). No shape of curves is presumed. All hyperparameters
are fitted: they maximise the marginal likelihood times a wide log-normal prior.

What is thought of configurations beforehand is a mean that grows with how far they are from good
ones; by how much is not certain either, so that what is seen overrules it.

Shapes: N points, C columns of encoded configurations, P settings (a setting may have some columns).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Log-normal priors, as mean and deviation of the logarithm: length scales of settings, which lie
#: in [0, 1], of the one that matters most in nearly every training and of the others; then a, b, m,
#: c, the noise's variance, and the length scales of k_s and k_o.
_SHORT, _SCALES = (-1.4, 0.7), (0.5, 1.0)
_VARIANCES = ((-0.7, 1.0), (-0.7, 1.0), (-0.7, 1.0), (-2.0, 1.0), (-5.0, 1.0))
_OTHERS = (*_VARIANCES, (-0.5, 0.5), (-0.5, 0.5))
_JITTER = 1e-6
_WORSE, _UNSURE = 0.4, 0.3  #: the mean's slope, and its deviation


@dataclass(frozen=True)
class Points:
    """N places: configurations at steps, each on a curve."""

    x_NC: Floats  # noqa: N815
    s: Floats  #: [N], logarithms of steps, in [0, 1]
    curve: Ints  #: [N], equal numbers are one curve

    def joined(self, other: Self) -> "Points":
        """Return these points and others after them."""
        return Points(
            np.concatenate([self.x_NC, other.x_NC]),
            np.concatenate([self.s, other.s]),
            np.concatenate([self.curve, other.curve]),
        )

    def __len__(self) -> int:
        return len(self.s)


class CurveModel:
    """The kernel, its priors, and its fit."""

    def __init__(
        self,
        setting_of_column: Ints,
        short: int | None = None,
        away: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """setting_of_column: [C], of which setting a column is; settings count from 0.

        short: the setting that matters most, if the space has it: the learning rate.
        away: returns [N], from columns [N, C], how far configurations are from good ones.
        """
        self._away = away
        self._of = setting_of_column
        self._settings = int(setting_of_column.max(initial=-1)) + 1
        scales = [_SHORT if each == short else _SCALES for each in range(self._settings)]
        priors = np.array(scales + list(_OTHERS))
        self._mean, self._deviation = priors[:, 0], priors[:, 1]

    @property
    def start(self) -> Floats:
        """The logarithms of the hyperparameters where nothing is known."""
        return self._mean.copy()

    def fit(self, points: Points, y: Floats, start: Floats, evaluations: int) -> Floats:
        """Return better hyperparameters, from so many evaluations of likelihood and gradient."""
        reach = 4 * self._deviation
        found = minimize(
            self._loss,
            start,
            args=(points, y),
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([self._mean - reach, self._mean + reach], axis=1),
            options={"maxfun": evaluations, "maxiter": evaluations},
        )
        best: Floats = found.x
        return best

    def posterior(self, points: Points, y: Floats, theta: Floats) -> "Posterior":
        """Return what follows from values y [N] at some points."""
        return Posterior(self, points, y, theta)

    def kernel(self, a: Points, b: Points, theta: Floats) -> Floats:
        """Return the covariances of two sets of points, without noise."""
        k_x, _ = self._of_settings(a, b, theta)
        shared, near, all_curves, own, _, l_s, l_o = np.exp(theta[self._settings :])
        gap = np.abs(a.s[:, None] - b.s[None, :])
        k_s = _matern32(gap / l_s)[0]
        same = a.curve[:, None] == b.curve[None, :]
        found: Floats = k_x * (shared + near * k_s) + all_curves * k_s
        found += _UNSURE**2 * np.outer(self.away(a), self.away(b))
        if same.any():
            found += same * own * _matern32(gap / l_o)[0]
        return found

    def mean(self, points: Points) -> Floats:
        """Return what is expected where nothing is known."""
        return _WORSE * self.away(points)

    def variance(self, points: Points, theta: Floats) -> Floats:
        """Return the variance of points, without noise."""
        same = float(np.exp(theta[self._settings : self._settings + 4]).sum())
        return same + (_UNSURE * self.away(points)) ** 2

    def likeness(self, a: Points, b: Points, theta: Floats) -> Floats:
        """Return how alike the configurations of two sets of points are: k_x, at most 1."""
        return self._of_settings(a, b, theta)[0]

    def away(self, points: Points) -> Floats:
        """Return how far the configurations of points are from good ones."""
        return np.zeros(len(points)) if self._away is None else self._away(points.x_NC)

    def noise(self, theta: Floats) -> float:
        """Return the variance of the noise."""
        return float(np.exp(theta[self._settings + 4])) + _JITTER

    def _of_settings(self, a: Points, b: Points, theta: Floats) -> tuple[Floats, Floats]:
        """Return k_x, and its derivative by the squared distance times -2."""
        scale = np.exp(-theta[: self._settings])[self._of]
        left, right = a.x_NC * scale, b.x_NC * scale
        squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2 * left @ right.T
        r = math.sqrt(5) * np.sqrt(np.maximum(squares, 0))
        decay = np.exp(-r)
        return (1 + r + r**2 / 3) * decay, 5 / 3 * (1 + r) * decay

    def _loss(self, theta: Floats, points: Points, y: Floats) -> tuple[float, Floats]:
        """Return minus the logarithm of the posterior of the hyperparameters, and its gradient."""
        settings = self._settings
        shared, near, all_curves, own, noise, l_s, l_o = np.exp(theta[settings:])
        gap = np.abs(points.s[:, None] - points.s[None, :])
        k_x, slope = self._of_settings(points, points, theta)
        (k_s, by_s), (k_o, by_o) = _matern32(gap / l_s), _matern32(gap / l_o)
        same = points.curve[:, None] == points.curve[None, :]
        k_o, by_o = same * k_o, same * by_o
        each = shared + near * k_s
        away = self.away(points)
        k = k_x * each + all_curves * k_s + own * k_o + _UNSURE**2 * np.outer(away, away)
        k[np.diag_indices_from(k)] += noise + _JITTER
        try:
            factor = cholesky(k, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        inverse = cho_solve((factor, True), np.eye(len(y)), check_finite=False)
        unexpected = y - self.mean(points)
        alpha = inverse @ unexpected
        off = (theta - self._mean) / self._deviation
        loss = 0.5 * unexpected @ alpha + np.log(np.diag(factor)).sum() + 0.5 * off @ off
        w = 0.5 * (inverse - np.outer(alpha, alpha))
        w_x, w_k = w * k_x, w * k_s
        by_scale = w * each * slope
        x = points.x_NC * np.exp(-theta[:settings])[self._of]
        of_columns = 2 * ((x**2 * by_scale.sum(1)[:, None]).sum(0) - (x * (by_scale @ x)).sum(0))
        gradient = np.concatenate(
            [
                np.bincount(self._of, of_columns, minlength=settings),
                [
                    shared * w_x.sum(),
                    near * (w_x * k_s).sum(),
                    all_curves * w_k.sum(),
                    own * (w * k_o).sum(),
                    noise * np.trace(w),
                    ((near * w_x + all_curves * w) * by_s).sum(),
                    own * (w * by_o).sum(),
                ],
            ]
        )
        return float(loss), gradient + off / self._deviation


class Posterior:
    """What is expected at other points, after some values."""

    def __init__(self, model: CurveModel, points: Points, y: Floats, theta: Floats) -> None:
        self._model, self._points, self._theta = model, points, theta
        k = model.kernel(points, points, theta)
        k[np.diag_indices_from(k)] += model.noise(theta)
        self._factor = cholesky(k, lower=True, check_finite=False)
        self._alpha = cho_solve((self._factor, True), y - model.mean(points), check_finite=False)

    def at(self, points: Points) -> tuple[Floats, Floats]:
        """Return mean and deviation [N] of what curves have at some points, without noise."""
        k = self._model.kernel(self._points, points, self._theta)
        half = solve_triangular(self._factor, k, lower=True, check_finite=False)
        left = self._model.variance(points, self._theta) - (half**2).sum(0)
        return self._model.mean(points) + k.T @ self._alpha, np.sqrt(np.maximum(left, 1e-10))


def _matern32(ratio: Floats) -> tuple[Floats, Floats]:
    """Return the Matern 3/2 kernel of distance / scale, and its derivative by log scale."""
    r = math.sqrt(3) * ratio
    decay = np.exp(-r)
    return (1 + r) * decay, r**2 * decay
