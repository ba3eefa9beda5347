"""Variant: one gate variant of one cell family, as data and a few lines of equations."""

from collections.abc import Callable
from dataclasses import dataclass, field

from trainables.cells.equations import Blocks, State, Terms

Step = Callable[[Terms, State], State]


def blocks(names: str) -> Blocks:
    """Return block names: one letter each, or separated by spaces."""
    return tuple(names.split()) if " " in names else tuple(names)


@dataclass(frozen=True)
class Variant:
    """A recurrent cell. Its layer owns the tensors W [|W|·H, I], R [|R|·H, H], b [|b|·H].

    W, R and b name the blocks that have an input matrix, a recurrent matrix and a bias. A matrix of
    R need not act on the output: the equations say on what.
    """

    family: str
    gates: str
    source: str  #: paper and, where they are numbered, equations
    step: Step  #: the equations of one step
    state: Blocks  #: names of the state's fields; the first is the output
    W: Blocks
    R: Blocks
    b: Blocks
    vectors: dict[str, float | str] = field(default_factory=dict)
    #: parameter vectors of H values by name: what they start as ("uniform" is U(0, 1))
    bias: dict[str, float] = field(
        default_factory=dict
    )  #: blocks whose bias starts elsewhere than 0
    recurrent: str = "orthogonal"  #: what the matrices of R start as: orthogonal or identity
    square: bool = False  #: defined for as many inputs as units

    @property
    def name(self) -> str:
        """Family and gates in one word, for messages and tests."""
        return f"{self.family}-{self.gates}"

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of a layer's parameters, in the order in which they are drawn."""
        stacked: dict[str, tuple[int, ...]] = {
            "W": (len(self.W) * hidden, inputs),
            "R": (len(self.R) * hidden, hidden),
            "b": (len(self.b) * hidden,),
        }
        shapes = {name: shape for name, shape in stacked.items() if shape[0]}
        shapes.update((name, (hidden,)) for name in self.vectors)
        return shapes
