"""The table of paths: which code runs a variant's scan on a card, and how it is launched.

A generated kernel runs where the matrices fit on chip. A program may have all units of a layer, or
2 to 16 programs share them (source.py). The bytes that a block of R takes follow from the
precision: float32 is multiplied as products of a high and a low part (tf32x3), so it counts twice.
"""

import functools
import importlib.util
import os
from dataclasses import dataclass
from typing import Literal

import torch

from trainables.cells.variant import Variant
from trainables.engine.gpu.plan import plan_of

Path = Literal["generated", "torch", "reference"]

#: Bytes of a number of R on chip.
MATRIX_BYTES = {"float32": 8, "tf32": 4, "bf16": 2}
#: Programs that may share a layer's units.
SPLITS = (1, 2, 4, 8, 16)
#: Units of a program: more do not fit into its registers, fewer give matrix units nothing to do.
MAX_OWN, MIN_OWN = 64, 16
#: Units whose products are added up in one go: a chunk's numbers lie in registers.
CHUNK = 64
#: Bytes on chip that a program needs beside its matrices: to bring values to the matrix units.
BESIDE = 12 << 10
#: The least multiprocessors of a card, by the programs that share units: groups of programs that
#: wait for their last member must never fill the card.
GROUPS = 8
#: The oldest cards whose matrix units multiply float32 numbers: compute capability 8.0.
OLDEST = 8, 0


def interpreted() -> bool:
    """Return whether Triton runs kernels in Python, on tensors of the CPU: TRITON_INTERPRET=1."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def has_triton() -> bool:
    """Return whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


@dataclass(frozen=True)
class Card:
    """What a path depends on."""

    capability: tuple[int, int]
    shared_bytes: int  #: on chip, for one program
    multiprocessors: int


#: What kernels are interpreted for.
INTERPRETED = Card((9, 0), 227 << 10, 132)


@functools.cache
def card_of(device: torch.device) -> Card:
    """Return what a CUDA device has; of a CPU, what kernels are interpreted for."""
    if device.type != "cuda":
        return INTERPRETED
    about = torch.cuda.get_device_properties(device)
    return Card(
        (about.major, about.minor),
        int(getattr(about, "shared_memory_per_block_optin", about.shared_memory_per_block)),
        int(about.multi_processor_count),
    )


@dataclass(frozen=True)
class Shape:
    """How a kernel is launched at one size."""

    split: int
    chunks: int
    warps: int


def lanes(width: int) -> int:
    """Return how many lanes hold that many units: a power of two that a product can have."""
    return max(MIN_OWN, 1 << (width - 1).bit_length())


def shape_of(variant: Variant, hidden: int, precision: str, card: Card) -> Shape | None:
    """Return how a variant's kernels run at a size; None where its matrices do not fit."""
    plan = plan_of(variant)
    products = [product for node in plan.step.sums for product in node.products]
    blocks = len({(product.matrix, product.block) for product in products})
    H, W = lanes(hidden), lanes(variant.width(hidden))
    for split in SPLITS:
        own = H // split
        matrices = blocks * H * W // split * MATRIX_BYTES[precision]
        fits = matrices + BESIDE <= card.shared_bytes
        if own > MAX_OWN or (products and not fits):
            continue
        if own < MIN_OWN or W // split < MIN_OWN or split * GROUPS > card.multiprocessors:
            return None
        chunks = max(1, W // CHUNK) if split > 1 and products else 1
        return Shape(split, chunks, max(2, min(8, own // 8)))
    return None


#: Units up to which torch's kernel is faster for one model, by measurement (bench-gpu on an H200).
#: A variant that is not named here has no kernel of torch's, or one that is always faster.
TORCH_IS_FASTER = {"gru-reset-after": 128}


def path_of(
    variant: Variant, hidden: int, precision: str, card: Card, *, torch_has: bool, double: bool
) -> Path:
    """Return the path of a variant at a size.

    torch_has: whether torch has a kernel for just this; its kernels know no cohort. double:
    float64, which no generated kernel computes.
    """
    generated = (
        not double
        and card.capability >= OLDEST
        and shape_of(variant, hidden, precision, card) is not None
    )
    faster = hidden <= TORCH_IS_FASTER.get(variant.name, hidden)
    if torch_has and (faster or not generated):
        return "torch"
    return "generated" if generated else "reference"
