"""The catalogue of cells: what may be compared, with equations, sources and exact sizes.

Notation: x input (I features), h⁻ previous output (H units), c⁻ previous cell state;
a_k = W_k x + R_k h⁻ + b_k; ⊙ elementwise; σ the logistic function. A = IH + H² + H is the size of
one block with one bias. Adding a variant is one row here and its equations in trainables/cells.
"""

from collections.abc import Callable
from dataclasses import dataclass

from spaces.errors import InputError
from spaces.words import listed, nearest, show, suggestion


def _block(inputs: int, hidden: int) -> int:
    return inputs * hidden + hidden * hidden + hidden


def _nothing(hidden: int) -> int:
    return 0


def _hidden(hidden: int) -> int:
    return hidden


@dataclass(frozen=True, repr=False)
class Cell:
    """One gate variant of one family.

    count: parameters of one layer in one direction, from its inputs and hidden size.
    width: features that a layer puts out in one direction, from its hidden size.
    once: parameters that a model of any depth has once, besides input projection and readout.
    square: a layer needs as many inputs as units; the model projects its input once (IH + H).
    bidirectional: may run in both directions. Attention then sees both sides at no extra size.
    attention: hidden_size is a width shared by all layers and must be divisible by heads.
    """

    family: str
    gates: str
    equations: str
    formula: str  #: of count, as people write it
    source: str
    count: Callable[[int, int], int]
    width: Callable[[int], int] = _hidden
    once: Callable[[int], int] = _nothing
    square: bool = False
    bidirectional: bool = True
    attention: bool = False

    @property
    def name(self) -> str:
        """The cell's unambiguous name, for example "gru-reset-after"."""
        return f"{self.family}-{self.gates}"

    def __repr__(self) -> str:
        return f"<Cell {self.name}>"

    def __reduce__(self) -> tuple[Callable[[str, str], "Cell"], tuple[str, str]]:
        return find, (self.family, self.gates)  # its functions travel by name alone


#: The first row of a family is its default variant.
CELLS: tuple[Cell, ...] = (
    Cell(
        "rnn",
        "tanh",
        equations="h = tanh(a)",
        formula="A",
        source="Elman 1990",
        count=_block,
    ),
    Cell(
        "rnn",
        "relu",
        equations="h = relu(a)",
        formula="A",
        source="Elman 1990; Le et al. 2015",
        count=_block,
    ),
    Cell(
        "lstm",
        "standard",
        equations="z = tanh(a_z); i, f, o = σ(a); c = z⊙i + c⁻⊙f; h = o⊙tanh(c)",
        formula="4A",
        source="Gers et al. 2000",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden),
    ),
    Cell(
        "gru",
        "reset-after",
        equations="r, z = σ(a); n = tanh(W_n x + b_n + r⊙(R_n h⁻ + b_hn)); h = (1−z)⊙n + z⊙h⁻",
        formula="3A + H",
        source="Cho et al. 2014, version 1",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + hidden,
    ),
    Cell(
        "transformer",
        "encoder",
        equations="y = x + MHA(LN(x)); h = y + W_2 relu(W_1 LN(y) + b_1) + b_2, 4H wide within",
        formula="12H² + 13H",
        source="Vaswani et al. 2017",
        count=lambda _, hidden: 12 * hidden * hidden + 13 * hidden,
        once=lambda hidden: 2 * hidden,  # the normalisation after the last layer
        square=True,
        attention=True,
    ),
)


def families() -> tuple[str, ...]:
    """Return the families in the catalogue's order."""
    return tuple(dict.fromkeys(cell.family for cell in CELLS))


def variants(family: str) -> tuple[Cell, ...]:
    """Return a family's variants, the default one first. InputError if there is no such family."""
    found = tuple(cell for cell in CELLS if cell.family == family)
    if not found:
        raise _unknown(family, families())
    return found


def default_gates(family: str) -> str:
    """Return the variant that is meant where only the family is named."""
    return variants(family)[0].gates


def find(family: str, gates: str | None = None) -> Cell:
    """Return a row of the catalogue. InputError with the nearest valid name if there is none."""
    candidates = variants(family)
    if gates is None:
        return candidates[0]
    for cell in candidates:
        if cell.gates == gates:
            return cell
    names = tuple(cell.gates for cell in candidates)
    rule = f"{family} has no gate variant {show(gates)}"
    raise InputError.of("cells", rule, suggestion(gates, names))


def parse(name: str) -> Cell:
    """Return the cell of a short name: a family ("lstm") or family-gates ("gru-reset-after")."""
    if name in families():
        return find(name)
    family, dash, gates = name.partition("-")
    if dash and family in families():
        return find(family, gates)
    raise _unknown(name, (*families(), *(cell.name for cell in CELLS)))


def _unknown(name: str, names: tuple[str, ...]) -> InputError:
    near = nearest(name, names)
    offer = f"a family ({listed(families(), 'or')}) or family-gates; `gatesearch cells` lists them"
    remedy = f"did you mean {near}? Use {offer}" if near else f"use {offer}"
    return InputError.of("cells", f"there is no cell {show(name)}", remedy)
