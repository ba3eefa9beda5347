"""The vocabulary of cell equations, and what it means on torch tensors.

Shapes are suffixes: T steps, B sequences, I inputs, H units, K stacked blocks. A block k of a cell
is one of its gates or candidates: a_k = W_k x + R_k h + b_k, as in the catalogue of cells.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: A tensor, or anything else that adds and multiplies like one.
Value = Any
#: The fields of a cell's state by name.
State = dict[str, Value]
Blocks = tuple[str, ...]

NORM_EPSILON = 1e-5


class Terms(Protocol):
    """The terms that one step of a cell is written with."""

    def __call__(self, block: str) -> Value:
        """Return a_k = W_k x + R_k h + b_k with the state's h, without what the block lacks."""

    def x(self, block: str) -> Value:
        """Return the part of a_k that needs no state, W_k x + b_k."""

    def recur(self, block: str, value: Value) -> Value:
        """Return R_k times the value."""

    def p(self, name: str) -> Value:
        """Return a parameter vector: a peephole, a gain, a bias of its own."""

    @property
    def input(self) -> Value:
        """The input itself, for square cells: they have as many inputs as units."""

    def normed(self, block: str) -> Value:
        """Return a_k where the products R h of all blocks are normalised together, with a gain."""

    def project(self, value: Value) -> Value:
        """Return the value, H wide, times the projection P."""

    def keep(self, name: str) -> Value:
        """Return how much of a field of the state keeps its previous value, for zoneout."""


def _operation(name: str, on_tensors: Callable[..., Tensor]) -> Callable[..., Value]:
    def function(*values: Value) -> Value:
        if isinstance(values[0], Tensor):
            return on_tensors(*values)
        return getattr(values[0], name)(*values[1:])

    function.__name__ = name
    function.__doc__ = f"Return {name}, elementwise."
    return function


sigmoid = _operation("sigmoid", torch.sigmoid)
tanh = _operation("tanh", torch.tanh)
relu = _operation("relu", torch.relu)
exp = _operation("exp", torch.exp)
log_sigmoid = _operation("log_sigmoid", functional.logsigmoid)
maximum = _operation("maximum", torch.maximum)


def norm(value: Value) -> Value:
    """Return the value with mean 0 and variance 1 over its last dimension (Ba 2016)."""
    if isinstance(value, Tensor):
        return functional.layer_norm(value, value.shape[-1:], eps=NORM_EPSILON)
    return value.norm()


def cut(stacked: Tensor, blocks: Blocks, block: str, dim: int = -1) -> Tensor:
    """Return one block of several that are stacked along a dimension."""
    width = stacked.shape[dim] // len(blocks)
    return stacked.narrow(dim, blocks.index(block) * width, width)


class TensorTerms:
    """The terms of one step on torch tensors. R h is computed once for all blocks."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        W: Blocks,
        R: Blocks,
        b: Blocks,
        a_BK: Tensor,
        x_BI: Tensor,
        h_BH: Tensor,
        keep: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._parameters, self._W, self._R, self._b = parameters, W, R, b
        self._a_BK, self._x_BI, self._h_BH = a_BK, x_BI, h_BH
        self._keep = keep or {}
        self._Rh_BK: Tensor | None = None
        self._normed_BK: Tensor | None = None

    def _recur_all(self) -> Tensor:
        if self._Rh_BK is None:
            self._Rh_BK = self._h_BH @ self._parameters["R"].T
        return self._Rh_BK

    def x(self, block: str) -> Tensor:
        if block in self._W:
            return cut(self._a_BK, self._W, block)
        return cut(self._parameters["b"], self._b, block)

    def recur(self, block: str, value: Tensor) -> Tensor:
        if value is self._h_BH:
            return cut(self._recur_all(), self._R, block)
        return value @ cut(self._parameters["R"], self._R, block, dim=0).T

    def __call__(self, block: str) -> Tensor:
        recurrent = self.recur(block, self._h_BH)
        if block in self._W or block in self._b:
            return self.x(block) + recurrent
        return recurrent

    def p(self, name: str) -> Tensor:
        return self._parameters[name]

    @property
    def input(self) -> Tensor:
        return self._x_BI

    def normed(self, block: str) -> Tensor:
        if self._normed_BK is None:
            self._normed_BK = norm(self._recur_all()) * self._parameters["gain_R"]
        return self.x(block) + cut(self._normed_BK, self._R, block)

    def project(self, value: Tensor) -> Tensor:
        return value @ self._parameters["P"].T

    def keep(self, name: str) -> Tensor:
        return self._keep[name]
