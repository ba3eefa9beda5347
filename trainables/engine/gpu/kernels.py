"""Kernels: a variant's source text as functions that Triton compiles, and how they are launched."""

import linecache
import types
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from trainables.cells.variant import Variant
from trainables.engine.gpu.paths import card_of, lanes, shape_of
from trainables.engine.gpu.plan import GpuPlan, plan_of
from trainables.engine.gpu.source import source

#: Sequences a program: the fewest rows that a product of matrix units has.
TILE = 16
#: What Triton calls the operands of a product.
INPUT_PRECISION = {"float32": "tf32x3", "tf32": "tf32", "bf16": "bf16"}


def _module(name: str, text: str) -> types.ModuleType:
    """Return a module made of a text. Triton reads a kernel's source, so it must be found."""
    file = f"<kernels of {name}>"
    module = types.ModuleType(f"trainables.engine.gpu.generated.{name}")
    module.__file__ = file
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
    exec(compile(text, file, "exec"), module.__dict__)
    return module


class Kernels:
    """Both kernels of a variant, for layers of every size (see source)."""

    def __init__(self, variant: Variant, chunks: int = 1) -> None:
        self.plan: GpuPlan = plan_of(variant)
        name = f"{variant.name}-{chunks}".replace(" ", "-")
        self._module = _module(name, source(self.plan, chunks))
        self.forward: Any = self._module.forward
        self.backward: Any = self._module.backward


_KERNELS: dict[tuple[str, int], Kernels] = {}


def kernels_of(variant: Variant, chunks: int = 1) -> Kernels:
    """Return the kernels of a variant, made once a process."""
    key = variant.name, chunks
    if key not in _KERNELS:
        _KERNELS[key] = Kernels(variant, chunks)
    return _KERNELS[key]


@dataclass(frozen=True)
class Launch:
    """How a variant's kernels run at one size."""

    kernels: Kernels
    hidden: int
    precision: str
    warps: int
    split: int  #: programs that share the units of a scan's tile

    @cached_property
    def constants(self) -> dict[str, Any]:
        """The sizes that kernels are compiled for."""
        width = self.kernels.plan.variant.width(self.hidden)
        return {
            "H": self.hidden,
            "W": width,
            "BH": lanes(self.hidden),
            "BW": lanes(width),
            "PRECISION": INPUT_PRECISION[self.precision],
            "SPLIT": self.split,
            "TILE": TILE,
            "num_warps": self.warps,
            "num_stages": 1,
        }

    @property
    def width(self) -> int:
        """Units of the output."""
        return self.kernels.plan.variant.width(self.hidden)

    def tiles(self, batch: int) -> int:
        """Return how many tiles of sequences a batch has."""
        return -(-batch // TILE)


_LAUNCHES: dict[tuple[str, int, str, torch.device], Launch] = {}


def _launch(variant: Variant, hidden: int, precision: str, device: torch.device) -> Launch:
    shape = shape_of(variant, hidden, precision, card_of(device))
    assert shape is not None, f"{variant.name} has no kernels at {hidden} units"
    kernels = kernels_of(variant, shape.chunks)
    return Launch(kernels, hidden, precision, shape.warps, shape.split)


def launch_of(variant: Variant, hidden: int, precision: str, device: torch.device) -> Launch:
    """Return how a variant's kernels run on a device; only where paths.path_of says "generated"."""
    key = variant.name, hidden, precision, device
    if key not in _LAUNCHES:
        _LAUNCHES[key] = _launch(variant, hidden, precision, device)
    return _LAUNCHES[key]
