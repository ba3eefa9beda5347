"""One layer of several models at once, in one direction or both, as tensor operations.

A model's scan backwards is a scan of its own: scans are the models, then the same models backwards.
Where a generated kernel exists all scans are one launch; elsewhere they run step by step, all at
once. Shapes are suffixes: S scans, K models, T steps, B sequences a model, I inputs, H units, W
units of the output, G blocks of W x + b times units, F fields with zoneout times units.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from trainables.cells.equations import NORM_EPSILON, State, cut, norm
from trainables.cells.variant import Variant
from trainables.engine.gpu.paths import Path
from trainables.layers import scan
from trainables.layers.batch_norm import MOMENTUM
from trainables.layers.told import input_matrix

#: A layer's parameters by name, [S, *shape of one].
Parameters = Mapping[str, Tensor]


def valid_steps(lengths_KB: Tensor, steps: int) -> Tensor:
    """Return which steps exist [K, T, B]."""
    steps_T1 = torch.arange(steps, device=lengths_KB.device).unsqueeze(1)
    return steps_T1 < lengths_KB.unsqueeze(1)


def reverse(value_KTBX: Tensor, lengths_KB: Tensor) -> Tensor:
    """Return each sequence backwards, by its own length; the padding stays at the end."""
    steps = torch.arange(value_KTBX.shape[1], device=lengths_KB.device).view(1, -1, 1)
    mirrored = lengths_KB.unsqueeze(1) - 1 - steps
    from_KTB = torch.where(mirrored >= 0, mirrored, steps)
    return value_KTBX.gather(1, from_KTB.unsqueeze(-1).expand_as(value_KTBX))


def windowed(variant: Variant, x_KTBI: Tensor, lengths_KB: Tensor, backwards: bool) -> Tensor:
    """Return what W multiplies: the input, with the inputs read before it if there is a window."""
    if variant.window == 1:
        return x_KTBI
    steps = x_KTBI.shape[1]
    parts = [x_KTBI]
    for back in range(1, variant.window):
        if backwards:
            valid = valid_steps(lengths_KB, steps).unsqueeze(-1)
            later = functional.pad(x_KTBI * valid, (0, 0, 0, 0, 0, back))
            parts.append(later[:, back:])
        else:
            parts.append(functional.pad(x_KTBI, (0, 0, 0, 0, back, 0))[:, :steps])
    return torch.cat(parts, dim=-1)


def bias(variant: Variant, parameters: Parameters) -> Tensor | None:
    """Return b [S, G] of the blocks with an input matrix; zero for a block without one."""
    if not variant.b or not set(variant.b) & set(variant.W):
        return None
    b = parameters["b"]
    if variant.b == variant.W:
        return b
    none = torch.zeros_like(b[:, : b.shape[1] // len(variant.b)])
    return torch.cat([cut(b, variant.b, k) if k in variant.b else none for k in variant.W], dim=1)


def hoist(
    variant: Variant,
    parameters: Parameters,
    x_SNI: Tensor,
    statistics: tuple[Tensor, Tensor] | None,
    valid_SN: Tensor | None,
    biased: bool = True,
) -> Tensor:
    """Return a [S, N, G], the input's part of the blocks with an input matrix.

    biased: whether to add the bias where Wx is not normalised.
    statistics: running mean and variance [S, G] of Wx, for cells with batch norm; where valid steps
    are given they are moved towards the batch's, which is used.
    """
    W = input_matrix(variant, parameters, x_SNI.shape[-1]).mT
    b = bias(variant, parameters)
    if variant.norm == "none":
        if b is None or not biased:
            return torch.bmm(x_SNI, W)
        return torch.baddbmm(b.unsqueeze(1), x_SNI, W)
    Wx = torch.bmm(x_SNI, W)
    if variant.norm == "layer":
        normed = norm(Wx)
    else:
        assert statistics is not None
        mean, variance = statistics
        if valid_SN is not None:
            mean, variance = _batch_statistics(Wx, valid_SN, mean, variance)
        normed = (Wx - mean.unsqueeze(1)) * torch.rsqrt(variance + NORM_EPSILON).unsqueeze(1)
    scaled: Tensor = normed * parameters["gain_x"].unsqueeze(1)
    return scaled if b is None else scaled + b.unsqueeze(1)


def _batch_statistics(
    Wx: Tensor, valid_SN: Tensor, running_mean: Tensor, running_variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and variance over the valid steps; move the running ones towards them.

    A scan with only one valid step has no variance: it uses the running ones, and keeps them.
    """
    count = valid_SN.sum(1, keepdim=True).to(Wx.dtype)
    enough, valid = count > 1, valid_SN.unsqueeze(-1)
    mean = (Wx * valid).sum(1) / count.clamp(min=1)
    variance = ((Wx - mean.unsqueeze(1)).square() * valid).sum(1) / count.clamp(min=1)
    with torch.no_grad():
        unbiased = variance * count / (count - 1).clamp(min=1)
        for running, found in ((running_mean, mean), (running_variance, unbiased)):
            running.copy_(torch.where(enough, running.lerp(found, MOMENTUM), running))
    return torch.where(enough, mean, running_mean), torch.where(enough, variance, running_variance)


class StackedTerms:
    """The terms of one step (see cells.equations.Terms) of all scans at once, [S, B, X]."""

    def __init__(
        self, variant: Variant, parameters: Parameters, a: Tensor, x: Tensor, h: Tensor, keep: State
    ) -> None:
        self._variant, self._parameters, self._keep = variant, parameters, keep
        self._a, self._x, self._h = a, x, h
        self._products: dict[str, Tensor] = {}

    def _recur_all(self, normed: bool = False) -> Tensor:
        name = "normed" if normed else "plain"
        if name not in self._products:
            if normed:
                scaled = norm(self._recur_all()) * self._parameters["gain_R"].unsqueeze(1)
                self._products[name] = scaled
            else:
                self._products[name] = torch.bmm(self._h, self._parameters["R"].mT)
        return self._products[name]

    def x(self, block: str) -> Tensor:
        if block in self._variant.W:
            return cut(self._a, self._variant.W, block)
        return cut(self._parameters["b"], self._variant.b, block).unsqueeze(1)

    def recur(self, block: str, value: Tensor) -> Tensor:
        if value is self._h:
            return cut(self._recur_all(), self._variant.R, block)
        return torch.bmm(value, cut(self._parameters["R"], self._variant.R, block, dim=1).mT)

    def __call__(self, block: str) -> Tensor:
        recurrent = self.recur(block, self._h)
        if block in self._variant.W or block in self._variant.b:
            return self.x(block) + recurrent
        return recurrent

    def p(self, name: str) -> Tensor:
        return self._parameters[name].unsqueeze(1)

    @property
    def input(self) -> Tensor:
        return self._x

    def normed(self, block: str) -> Tensor:
        return self.x(block) + cut(self._recur_all(normed=True), self._variant.R, block)

    def project(self, value: Tensor) -> Tensor:
        return torch.bmm(value, self._parameters["P"].mT)

    def keep(self, name: str) -> Tensor:
        value: Tensor = self._keep[name]
        return value


def reference(
    variant: Variant,
    parameters: Parameters,
    x_STBI: Tensor,
    a_STBG: Tensor,
    lengths_SB: Tensor,
    hidden: int,
    keep_STBF: Tensor | None,
) -> Tensor:
    """Return the outputs y [S, T, B, W], step by step; zeros in the padding.

    All scans read from the first step on.
    """
    state: State = {}
    for name in variant.state:
        width = variant.width(hidden) if name == variant.output else hidden
        shape = len(x_STBI), x_STBI.shape[2], width
        state[name] = a_STBG.new_full(shape, variant.initial.get(name, 0.0))
    valid = valid_steps(lengths_SB, x_STBI.shape[1]).unsqueeze(-1)
    outputs = []
    for t in range(x_STBI.shape[1]):
        keep: State = {}
        if keep_STBF is not None:
            factors = keep_STBF[:, min(t, keep_STBF.shape[1] - 1)]
            for name in variant.zoneout_fields:  # a projected output is narrower than H
                part = cut(factors, variant.zoneout_fields, name)
                keep[name] = part[..., : state[name].shape[-1]]
        terms = StackedTerms(variant, parameters, a_STBG[:, t], x_STBI[:, t], state["h"], keep)
        after = variant.step(terms, state)
        state = {k: torch.where(valid[:, t], after[k], state[k]) for k in variant.state}
        outputs.append(torch.where(valid[:, t], after[variant.output], 0.0))
    return torch.stack(outputs, dim=1)


def scans(
    variant: Variant,
    parameters: Parameters,
    x_KTBI: Tensor,
    lengths_KB: Tensor,
    hidden: int,
    path: Path,
    precision: str = "float32",
    statistics: tuple[Tensor, Tensor] | None = None,
    training: bool = False,
    keep_STBF: Tensor | None = None,
) -> Tensor:
    """Return y [S, T, B, W], each where its step stands in the input.

    The padding has zeros, but on torch's path, which runs over it, finite values.

    keep_STBF: the factors of zoneout, T and B are 1 if all steps share them.
    statistics: running mean and variance [S, G] of Wx, for cells with batch norm.
    """
    scans_, (models, steps, batch, _) = len(parameters["W"]), x_KTBI.shape
    both = scans_ > models
    if path == "torch":
        # Squeezed, not indexed: the gradient of an index is written into an array of zeros.
        alone = {name: value.squeeze(0) for name, value in parameters.items()}
        return scan.KERNELS[variant.name](alone, x_KTBI.squeeze(0)).unsqueeze(0)
    seen = windowed(variant, x_KTBI, lengths_KB, False)
    if both:
        other = windowed(variant, x_KTBI, lengths_KB, True) if variant.window > 1 else seen
        seen = torch.cat([seen, other])
    valid_SN = None
    if training and variant.norm == "batch":
        valid_SN = valid_steps(lengths_KB, steps).flatten(1).repeat(scans_ // models, 1)
    given = seen.flatten(1, 2)
    a_SNG = hoist(variant, parameters, given, statistics, valid_SN, path != "generated")
    if path == "generated":
        # Triton is needed here alone, and takes its time to import.
        from trainables.engine.gpu.autograd import generated

        return generated(
            variant, parameters, x_KTBI, a_SNG, lengths_KB, hidden, precision, keep_STBF
        )
    a = a_SNG.view(scans_, steps, batch, -1)
    x, lengths = x_KTBI, lengths_KB
    if both:
        x, lengths = torch.cat([x, reverse(x, lengths)]), torch.cat([lengths, lengths])
        a = torch.cat([a[:models], reverse(a[models:], lengths_KB)])
    if keep_STBF is not None and both and keep_STBF.shape[1] > 1:
        keep_STBF = torch.cat([keep_STBF[:models], reverse(keep_STBF[models:], lengths_KB)])
    y = reference(variant, parameters, x, a, lengths, hidden, keep_STBF)
    return torch.cat([y[:models], reverse(y[models:], lengths_KB)]) if both else y
