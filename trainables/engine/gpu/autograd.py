"""The generated scan as an autograd function: several models and both directions in one launch.

Shapes are suffixes: S scans (models, then the same models backwards), K models, T steps, B
sequences a model, N = T · B, H units, W units of the output, G blocks of W x times units.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainables.cells.equations import cut
from trainables.cells.variant import Variant
from trainables.engine.gpu.kernels import TILE, Launch, launch_of
from trainables.engine.graph import LEAF_OPS


class GeneratedScan(torch.autograd.Function):
    """y [S, T, B, W] of a [S, N, G], x [K, N, H], R, P, vectors [S, V, H] and keep."""

    @staticmethod
    def forward(
        ctx: Any,
        launch: Launch,
        lengths_KB: Tensor,
        steps: int,
        a: Tensor,
        x: Tensor | None,
        R: Tensor | None,
        P: Tensor | None,
        vectors: Tensor | None,
        keep: Tensor | None,
    ) -> Tensor:
        plan, (models, batch), scans = launch.kernels.plan, lengths_KB.shape, len(a)
        # A model's parameters are a part of its weights: kernels read arrays of their own.
        a, x, R, P, vectors, lengths_KB = map(_whole, (a, x, R, P, vectors, lengths_KB))
        y = a.new_empty(scans, steps, batch, launch.width)
        tape = a.new_empty(scans, len(plan.tape), steps, batch, launch.hidden)
        strides = _keep_strides(keep)
        none = y  # stands for an array that the kernel does not read
        given = [none if array is None else array for array in (x, R, P, vectors, keep)]
        sizes = steps, batch, models
        tiles = launch.tiles(batch)
        met, sums = _meeting(launch, scans, tiles, a)
        launch.kernels.forward[tiles * launch.split, scans](
            a, *given, lengths_KB, y, tape, met, sums, *sizes, *strides, **launch.constants
        )
        kept_a = a if plan.rereads_hoisted else None
        kept_x = x if plan.rereads_input else None
        ctx.save_for_backward(lengths_KB, y, tape, kept_a, kept_x, R, P, vectors, keep)
        ctx.launch, ctx.blocks = launch, a.shape[-1]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        launch: Launch = ctx.launch
        plan, H = launch.kernels.plan, launch.hidden
        lengths_KB, y, tape, a, x, R, P, vectors, keep = ctx.saved_tensors
        scans, steps, batch, _ = y.shape
        models = len(lengths_KB)
        d = y.new_empty(scans, steps, batch, len(plan.written) * H)
        dp = torch.empty_like(y) if P is not None else y
        tiles = launch.tiles(batch)
        met, sums = _meeting(launch, scans, tiles, y)
        dvectors = None if vectors is None else y.new_empty(tiles, *vectors.shape)
        given = [y if array is None else array for array in (a, x, R, P, vectors, keep)]
        sizes = steps, batch, models
        launch.kernels.backward[tiles * launch.split, scans](
            *given,
            lengths_KB,
            y,
            tape,
            gradients[0].contiguous(),
            d,
            dp,
            y if dvectors is None else dvectors,
            met,
            sums,
            *sizes,
            *_keep_strides(keep),
            **launch.constants,
        )
        d_SNX = d.flatten(1, 2)
        dR = None if R is None else _matrix_gradient(ctx, R, d_SNX, y, tape)
        dP = None
        if P is not None:
            projection = plan.projection
            assert projection is not None
            source_SNH = tape[:, plan.tape[projection[0]]].flatten(1, 2)
            dP = torch.bmm(dp.flatten(1, 2).mT, source_SNH)
        dx = None
        if plan.reads_input:
            assert plan.adjoints.input is not None
            at = plan.written[plan.adjoints.input] * H
            dx = sum(d_SNX[..., at : at + H].split(models))
        da = d_SNX[..., : ctx.blocks]
        dv = None if dvectors is None else dvectors.sum(0)
        return None, None, None, da, dx, dR, dP, dv, None


def _matrix_gradient(ctx: Any, R: Tensor, d_SNX: Tensor, y: Tensor, tape: Tensor) -> Tensor:
    """Return the gradient of R: for each source a product of the sums' adjoints with it."""
    plan, H, models = ctx.launch.kernels.plan, ctx.launch.hidden, len(ctx.saved_tensors[0])
    batch = y.shape[2]
    dR = torch.empty_like(R)
    for gradient in plan.matrix_gradients:
        node, first, count = gradient.source, gradient.first * H, len(gradient.blocks)
        adjoint = d_SNX[..., first : first + count * H]
        if node.op in LEAF_OPS:
            after = plan.step.new_state[node.name]
            output = after is plan.step.new_state[plan.variant.output]
            source = (y if output else tape[:, plan.tape[after]]).flatten(1, 2)
            # A step's source is the state before it: one step earlier, or later where backwards.
            parts = [torch.bmm(adjoint[:models, batch:].mT, source[:models, :-batch])]
            if len(y) > models:
                parts.append(torch.bmm(adjoint[models:, :-batch].mT, source[models:, batch:]))
            found = torch.cat(parts) if len(parts) > 1 else parts[0]
        else:
            found = torch.bmm(adjoint.mT, tape[:, plan.tape[node]].flatten(1, 2))
        # Block by block where they are no neighbours in R: an index would be copied to the card.
        for at, run in _runs(gradient.blocks):
            part = slice(at * H, (at + len(run)) * H)
            dR[:, run[0] * H : (run[-1] + 1) * H] = found[:, part]
    return dR


def _whole(value: Tensor | None) -> Any:
    """Return a value as an array of its own; Triton compiles again for one that lies unaligned."""
    if value is None:
        return None
    value = value.contiguous()
    return value.clone() if value.data_ptr() % 16 else value


def _meeting(launch: Launch, scans: int, tiles: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return where programs that share units count themselves, and where they exchange sums."""
    met = torch.zeros(scans, tiles, dtype=torch.int32, device=like.device)
    normalises = bool(launch.kernels.plan.step.graph.groups) and launch.split > 1
    numbers = 4 * launch.split * TILE if normalises else 0
    return met, like.new_empty(scans, tiles, numbers) if normalises else like


def _runs(blocks: tuple[int, ...]) -> list[tuple[int, range]]:
    """Return the stretches of consecutive blocks, each with the place of its first."""
    if all(later == earlier + 1 for earlier, later in pairwise(blocks)):
        return [(0, range(blocks[0], blocks[-1] + 1))]
    return [(at, range(block, block + 1)) for at, block in enumerate(blocks)]


def _keep_strides(keep: Tensor | None) -> tuple[int, int, int]:
    """Return the strides of scans, steps and sequences of keep; 0 where all share its values."""
    if keep is None:
        return 0, 0, 0
    scan, step, row = (
        0 if size == 1 else stride
        for size, stride in zip(keep.shape[:3], keep.stride()[:3], strict=True)
    )
    return scan, step, row


def _vectors(variant: Variant, parameters: Mapping[str, Tensor], names: list[str]) -> Tensor | None:
    """Return the vectors that kernels are given, [S, V, H], by the names of their leaves."""
    found = []
    for name in names:
        if name in parameters:
            found.append(parameters[name])
        elif name.startswith("gain_R_"):
            found.append(cut(parameters["gain_R"], variant.R, name.removeprefix("gain_R_")))
        else:
            found.append(cut(parameters["b"], variant.b, name.removeprefix("b_")))
    return torch.stack(found, dim=1) if found else None


def generated(
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x_KTBI: Tensor,
    a_SNG: Tensor,
    lengths_KB: Tensor,
    hidden: int,
    precision: str,
    keep_STBF: Tensor | None,
) -> Tensor:
    """Return y [S, T, B, W] of all scans in one launch; zeros in the padding.

    a: blocks W x of every step, where the step stands in the input, or what norms make of them with
    gain and bias. keep: the factors of zoneout, T and B are 1 if all steps share them.
    """
    launch = launch_of(variant, hidden, precision, a_SNG.device)
    plan = launch.kernels.plan
    y: Tensor = GeneratedScan.apply(  # type: ignore[no-untyped-call]
        launch,
        lengths_KB,
        x_KTBI.shape[1],
        a_SNG,
        x_KTBI.flatten(1, 2).contiguous() if plan.reads_input else None,
        parameters.get("R"),
        parameters.get("P"),
        _vectors(variant, parameters, plan.vectors),
        keep_STBF,
    )
    return y


def generated_alone(
    variant: Variant,
    parameters: Mapping[str, Tensor],
    x_TBI: Tensor,
    a_TBG: Tensor,
    lengths_B: Tensor,
    hidden: int,
    keep_TBF: Tensor | None,
) -> Tensor:
    """Return y [T, B, W] of one model in one direction, in float32; see generated."""
    y = generated(
        variant,
        {name: value.unsqueeze(0) for name, value in parameters.items()},
        x_TBI.unsqueeze(0),
        a_TBG.flatten(0, 1).unsqueeze(0),
        lengths_B.unsqueeze(0),
        hidden,
        "float32",
        None if keep_TBF is None else keep_TBF.unsqueeze(0),
    )
    return y[0]
