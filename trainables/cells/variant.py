"""Variant: one gate variant of one cell family, as data and a few lines of equations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from trainables.cells.equations import Blocks, State, Terms

Step = Callable[[Terms, State], State]


def blocks(names: str) -> Blocks:
    """Return block names: one letter each, or separated by spaces."""
    return tuple(names.split()) if " " in names else tuple(names)


class FullBlocks(TypedDict):
    """The same blocks with input matrix, recurrent matrix and bias."""

    W: Blocks
    R: Blocks
    b: Blocks


def full_blocks(names: str) -> FullBlocks:
    """Return the named blocks as those of W, R and b alike."""
    return {"W": blocks(names), "R": blocks(names), "b": blocks(names)}


class Forgets(TypedDict):
    """A forget gate and its start; see the fields of Variant."""

    bias: dict[str, float]
    retain_gates: dict[str, int]
    input_gates: Blocks


def forgets(gate: str, input_gates: str = "") -> Forgets:
    """Return a forget gate that starts open, and the input gate beside it if there is one."""
    return {"bias": {gate: 1.0}, "retain_gates": {gate: 1}, "input_gates": blocks(input_gates)}


@dataclass(frozen=True)
class Variant:
    """A recurrent cell. Its layer owns the tensors W [|W|·H, I], R [|R|·H, H], b [|b|·H].

    W, R and b name the blocks that have an input matrix, a recurrent matrix and a bias. A matrix of
    R need not act on the state's h: the equations say on what.
    """

    family: str
    gates: str
    step: Step  #: the equations of one step
    W: Blocks
    R: Blocks = ()
    b: Blocks = ()
    state: Blocks = ("h",)  #: names of the state's fields, zero at first
    zoneout_fields: Blocks = ("h",)  #: fields that zoneout acts on
    initial: dict[str, float] = field(default_factory=dict)  #: fields that start elsewhere
    output: str = "h"  #: the field of the state that the layer gives out
    vectors: dict[str, float | str] = field(default_factory=dict)
    #: parameter vectors of H values by name: what they start as ("uniform" is U(0, 1))
    bias: dict[str, float] = field(
        default_factory=dict
    )  #: blocks whose bias starts elsewhere than 0
    retain_gates: dict[str, int] = field(default_factory=dict)
    #: blocks with a bias whose gate says how much of the past is kept: 1 where an open gate keeps
    #: it, -1 where an open gate lets the new in
    input_gates: Blocks = ()  #: gates of the new beside those, which a chrono start closes as far
    recurrent: Literal["configured", "identity"] = "configured"  #: what the matrices of R start as
    square: bool = False  #: defined for as many inputs as units
    window: int = 1  #: steps of the input that W sees, the present one first
    norm: Literal["none", "batch", "layer"] = "none"  #: what is done to Wx before the bias
    projected: bool = False  #: h is a projection, half as wide, of what the units give

    @property
    def name(self) -> str:
        """Family and gates in one word, for messages and tests."""
        return f"{self.family}-{self.gates}"

    def width(self, hidden: int) -> int:
        """Return how many features a layer of that many units gives out."""
        return (hidden + 1) // 2 if self.projected else hidden

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a layer's parameters, in the order in which they are drawn."""
        stacked: dict[str, tuple[int, ...]] = {
            "W": (len(self.W) * hidden, self.window * inputs),
            "R": (len(self.R) * hidden, self.width(hidden)),
            "b": (len(self.b) * hidden,),
        }
        shapes = {name: shape for name, shape in stacked.items() if shape[0]}
        shapes.update((name, (hidden,)) for name in self.vectors)
        if self.projected:
            shapes["P"] = (self.width(hidden), hidden)
        if self.norm != "none":
            shapes["gain_x"] = (len(self.W) * hidden,)
        if self.norm == "layer":
            shapes["gain_R"] = (len(self.R) * hidden,)
        return shapes
