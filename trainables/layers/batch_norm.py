"""Batch norm of Wx as a scale of W's rows and a shift of the bias (Ioffe & Szegedy 2015).

Mean and variance of a product follow from those of its factor: if x has mean m and covariance C,
w·x has mean w·m and variance w·C·w. So the scan computes Wx once, with the scaled W, and neither Wx
nor its gradient is ever stored.

Shapes are suffixes: N valid steps of all sequences, I inputs, K stacked blocks.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.equations import NORM_EPSILON

#: Share of a batch's statistics in the running ones.
MOMENTUM = 0.1


def folded(
    W: Tensor, b: Tensor, gain: Tensor, mean_K: Tensor, variance_K: Tensor
) -> tuple[Tensor, Tensor]:
    """Return W [K, I] and b [K] that contain the norm with given statistics of Wx."""
    scale_K = gain * torch.rsqrt(variance_K + NORM_EPSILON)
    return W * scale_K.unsqueeze(1), b - mean_K * scale_K


class _Folded(torch.autograd.Function):
    """From x [N, I], W, b, gain to W, b, and mean and variance [K] of Wx, without gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, W: Tensor, b: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean_I = x.mean(0)
        centred = x - mean_I
        WC = W @ (centred.T @ centred).div_(len(x))
        mean, variance = W.mv(mean_I), (WC * W).sum(1)
        ctx.save_for_backward(centred, W, gain, mean_I, WC, mean, variance)
        ctx.mark_non_differentiable(mean, variance)
        return *folded(W, b, gain, mean, variance), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        dW, db, _, _ = gradients
        centred, W, gain, mean_I, WC, mean, variance = ctx.saved_tensors
        root = torch.rsqrt(variance + NORM_EPSILON)
        scale = gain * root
        dscale = (dW * W).sum(1) - db * mean
        dmean = db * scale.neg()
        dvariance = dscale * gain * root.pow(3).mul_(-0.5)
        into_W = torch.addcmul(dW * scale.unsqueeze(1), WC, 2 * dvariance.unsqueeze(1))
        into_W.addr_(dmean, mean_I)
        dx = None
        if ctx.needs_input_grad[0]:
            dC = W.T @ (W * (2 / len(centred) * dvariance).unsqueeze(1))
            dx = torch.addmm(W.T.mv(dmean).div_(len(centred)), centred, dC)
        return dx, into_W, db, dscale * root


def folded_over(
    x_NI: Tensor, W: Tensor, b: Tensor, gain: Tensor, running: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return W and b that contain the norm over these inputs; move the running statistics.

    A single input has no variance; the running statistics are used instead.
    """
    if len(x_NI) == 1:
        return folded(W, b, gain, *running)
    W, b, mean, variance = _Folded.apply(x_NI, W, b, gain)  # type: ignore[no-untyped-call]
    unbiased = variance * (len(x_NI) / (len(x_NI) - 1))
    for statistic, found in zip(running, (mean, unbiased), strict=True):
        statistic.lerp_(found, MOMENTUM)
    return W, b
