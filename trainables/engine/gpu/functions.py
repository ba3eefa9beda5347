"""Functions that all generated kernels call."""

import triton
import triton.language as tl

# Triton compiles these from their source; it reads neither annotations nor docstrings.


@triton.jit
def sigmoid(value):
    """Return 1 / (1 + exp(-value))."""
    return 1.0 / (1.0 + tl.exp(-value))


@triton.jit
def tanh(value):
    """Return the hyperbolic tangent, within 1e-7."""
    small = tl.exp(-2.0 * tl.abs(value))
    size = (1.0 - small) / (1.0 + small)
    return tl.where(value < 0.0, -size, size)


@triton.jit
def log_sigmoid(value):
    """Return log(sigmoid(value)) without overflow."""
    return tl.minimum(value, 0.0, tl.PropagateNan.ALL) - tl.log(1.0 + tl.exp(-tl.abs(value)))


@triton.jit
def maximum(one, other):
    """Return the larger value; NaN stays NaN."""
    return tl.maximum(one, other, tl.PropagateNan.ALL)


@triton.jit
def operand(matrix, PRECISION: tl.constexpr):
    """Return a matrix in the type in which it is multiplied."""
    if PRECISION == "bf16":
        return matrix.to(tl.bfloat16)
    else:
        return matrix


@triton.jit
def product(value, matrix, PRECISION: tl.constexpr):
    """Return value times matrix, added up in float32."""
    if PRECISION == "bf16":
        return tl.dot(value.to(tl.bfloat16), matrix)
    else:
        return tl.dot(value, matrix, input_precision=PRECISION)


@triton.jit
def meet(counter, goal):
    """Wait until programs have arrived here `goal` times in all; what they wrote can be read."""
    tl.debug_barrier()
    arrived = tl.atomic_add(counter, 1, sem="release") + 1
    while arrived < goal:
        arrived = tl.atomic_add(counter, 0, sem="acquire")
    tl.debug_barrier()


@triton.jit
def exchange(sums, counter, goal, one, other, part, SPLIT: tl.constexpr, TILE: tl.constexpr):
    """Return the two numbers a sequence of each program, [TILE, SPLIT], when all have arrived.

    Two places take turns: nobody writes where another may still read what it wrote before.
    """
    sequence, parts = tl.arange(0, TILE), tl.arange(0, SPLIT)
    place = sums + ((goal // SPLIT) % 2) * (2 * SPLIT * TILE)
    tl.store(place + part * TILE + sequence, one)
    tl.store(place + (SPLIT + part) * TILE + sequence, other)
    meet(counter, goal)
    at = place + parts[None, :] * TILE + sequence[:, None]
    found = tl.load(at, cache_modifier=".cg")
    return found, tl.load(at + SPLIT * TILE, cache_modifier=".cg")
