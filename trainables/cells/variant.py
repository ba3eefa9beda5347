"""Variant: one gate variant of one cell family, as data and a few lines of equations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypedDict

from spaces.cells import Cell, find
from spaces.inputs import NOTHING, Told
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


@dataclass(frozen=True)
class Variant:
    """A recurrent cell. Its layer owns the tensors W [|W|·H, I], R [|R|·H, H], b [|b|·H].

    W, R and b name the blocks that have an input matrix, a recurrent matrix and a bias. The
    equations decide what a matrix of R is multiplied with; it need not be the state's h. Where a
    cell reads gaps, the last block of W reads them alone; see layers/told.py.

    What the catalogue of cells says of a variant (square, projected, retain_gates, recurrent) is
    read from its row there and stands nowhere else. InputError if the catalogue has no such row.
    """

    family: str
    gates: str
    step: Step  #: the equations of one step
    W: Blocks
    R: Blocks = ()
    b: Blocks = ()
    state: Blocks = ("h",)  #: names of the state's fields
    zoneout_fields: Blocks = ("h",)  #: fields that zoneout acts on
    initial: dict[str, float] = field(default_factory=dict)  #: fields that do not start at 0
    output: str = "h"  #: the field of the state that the layer gives out
    #: parameter vectors of H values, with their first value ("uniform" is U(0, 1))
    vectors: dict[str, float | str] = field(default_factory=dict)
    bias: dict[str, float] = field(default_factory=dict)  #: blocks whose bias does not start at 0
    #: gates of the new value; a chrono start closes them as far as it opens the retain gate
    input_gates: Blocks = ()
    window: int = 1  #: steps of the input that W sees, the present one first
    norm: Literal["none", "batch", "layer"] = "none"  #: normalisation of Wx before the bias
    zoneout: bool = False  #: whether the step mixes in the state before it (zoneout.py)

    def __post_init__(self) -> None:
        if bool(self.R) != (self.cell.recurrent != "none"):
            rule = "recurrent must be 'none' in the catalogue exactly where a variant has no R"
            raise ValueError(f"{self.name}: {rule}")
        if unknown := {*self.retain_gates, *self.input_gates, *self.bias} - {*self.b}:
            raise ValueError(f"{self.name}: b must have the blocks {sorted(unknown)}")

    @cached_property
    def cell(self) -> Cell:
        """The variant's row in the catalogue of cells."""
        return find(self.family, self.gates)

    @property
    def name(self) -> str:
        """Family and gates in one word, for messages and tests."""
        return f"{self.cell.name} with zoneout" if self.zoneout else self.cell.name

    @property
    def square(self) -> bool:
        """Whether a layer needs as many inputs as units."""
        return self.cell.square

    @property
    def projected(self) -> bool:
        """Whether h is a projection, half as wide, of what the units compute."""
        return self.cell.projected

    @property
    def retain_gates(self) -> Mapping[str, int]:
        """Gates that decide how much of the past stays; see Cell."""
        return self.cell.retain_gates

    @property
    def gaps(self) -> Literal["none", "decay", "elapsed"]:
        """What the cell makes of what it is told of its inputs; see Cell."""
        return self.cell.gaps

    @property
    def recurrent(self) -> Literal["configured", "identity", "none"]:
        """How the matrices of R start; see Cell."""
        return self.cell.recurrent

    def width(self, hidden: int) -> int:
        """Return how many features a layer of that many units gives out."""
        return self.cell.width(hidden)

    def shapes(self, inputs: int, hidden: int, told: Told = NOTHING) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a layer's parameters, in the order in which they are drawn.

        inputs: all of a step; told: what the last of them tell, for cells that read it apart.
        """
        blocks, read = len(self.W), inputs
        if self.gaps != "none":  # the last block is of times
            blocks -= 1
            read -= told.width - told.features if self.gaps == "decay" else int(told.gap)
        stacked: dict[str, tuple[int, ...]] = {
            "W": (blocks * hidden, self.window * read),
            "R": (len(self.R) * hidden, self.width(hidden)),
            "b": (len(self.b) * hidden,),
        }
        shapes = {name: shape for name, shape in stacked.items() if shape[0]}
        if self.gaps == "decay" and told.since:
            shapes["D"] = (hidden, told.since)
        shapes.update((name, (hidden,)) for name in self.vectors)
        if self.projected:
            shapes["P"] = (self.width(hidden), hidden)
        if self.norm != "none":
            shapes["gain_x"] = (len(self.W) * hidden,)
        if self.norm == "layer":
            shapes["gain_R"] = (len(self.R) * hidden,)
        return shapes
