"""The catalogue of cells: what may be compared, with equations, sources and exact sizes.

Notation: x input (I features), h⁻ previous output (H units), c⁻ previous cell state;
a_k = W_k x + R_k h⁻ + b_k; ⊙ elementwise; σ the logistic function. A = IH + H² + H is the size of
one block with one bias. Adding a variant is one row here and its equations in trainables/cells.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from spaces.errors import InputError
from spaces.hyperparameters import HYPERPARAMETERS
from spaces.inputs import Told
from spaces.text import listed, nearest, show, suggestion


def _block(inputs: int, hidden: int) -> int:
    return inputs * hidden + hidden * hidden + hidden


def _half(hidden: int) -> int:
    return (hidden + 1) // 2


def _nothing(hidden: int) -> int:
    return 0


@dataclass(frozen=True, repr=False)
class Cell:
    """One gate variant of one family.

    count: parameters of one layer in one direction, from its inputs and hidden size.
    once: parameters that a model has once at any depth, besides input projection and readout.
    square: a layer needs as many inputs as units; the model projects its input once (IH + H).
    projected: the output h is a projection of what the units compute, H / 2 wide, rounded up.
    attention: hidden_size is a width shared by all layers and must be divisible by heads.
    retain_gates: gates that have a bias and decide how much of the past stays, by block: 1 if an
        open gate keeps the past, -1 if an open gate lets the new value in.
    recurrent: how the recurrent matrices start: as configured, or as the cell demands; "none" if
        the cell has no recurrent matrix.
    gaps: what the cell makes of what it is told of its inputs (spaces/inputs.py): "decay" with the
        time since they were there, or the time "elapsed" in a step; "none": they are inputs as all.
    """

    family: str
    gates: str
    equations: str
    formula: str  #: of count, as people write it
    source: str
    count: Callable[[int, int], int]
    once: Callable[[int], int] = _nothing
    square: bool = False
    projected: bool = False
    attention: bool = False
    retain_gates: Mapping[str, int] = field(default_factory=dict, hash=False)
    recurrent: Literal["configured", "identity", "none"] = "configured"
    gaps: Literal["none", "decay", "elapsed"] = "none"

    def size(self, values: int, told: Told, hidden: int) -> int:
        """Return the parameters of one layer in one direction that reads values and what is told.

        A decay has a matrix of its own for times, and the gates none; an elapsed time has none.
        """
        if self.gaps == "decay":
            return self.count(values + told.features, hidden) + told.since * hidden
        if self.gaps == "elapsed":
            return self.count(values + 2 * told.features, hidden)
        return self.count(values + told.width, hidden)

    def width(self, hidden: int) -> int:
        """Return the features that a layer gives out in one direction."""
        return _half(hidden) if self.projected else hidden

    @property
    def forget_gate(self) -> bool:
        """Whether a gate with a bias decides how much of the past stays, under any name."""
        return bool(self.retain_gates)

    @property
    def bidirectional(self) -> bool:
        """Whether a layer may run in both directions.

        Two directions give 2H features, which a square layer cannot take. Attention sees both sides
        in one direction already, at no extra size. Backwards, times since the past mean nothing.
        """
        return self.attention or not (self.square or self.gaps != "none")

    @property
    def name(self) -> str:
        """The cell's unambiguous name, for example "gru-reset-after"."""
        return f"{self.family}-{self.gates}"

    def reads(self, setting: str) -> bool:
        """Return whether a field of TrialConfig, other than bidirectional, has a meaning here."""
        row = HYPERPARAMETERS.get(setting)
        return row is None or row.read_by(self)

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
        "rnn",
        "irnn",
        equations="h = relu(a); R starts as the identity",
        formula="A",
        source="Le et al. 2015",
        count=_block,
        recurrent="identity",
    ),
    Cell(
        "rnn",
        "indrnn",
        equations="h = relu(W x + u⊙h⁻ + b)",
        formula="IH + 2H",
        source="Li et al. 2018",
        count=lambda inputs, hidden: inputs * hidden + 2 * hidden,
        recurrent="none",
    ),
    Cell(
        "lstm",
        "standard",
        equations="z = tanh(a_z); i, f, o = σ(a); c = z⊙i + c⁻⊙f; h = o⊙tanh(c)",
        formula="4A",
        source="Gers et al. 2000",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden),
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "peephole",
        equations="i, f = σ(a + p⊙c⁻); c = tanh(a_z)⊙i + c⁻⊙f; o = σ(a_o + p_o⊙c); h = o⊙tanh(c)",
        formula="4A + 3H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden) + 3 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "no-input-gate",
        equations="peephole with i = 1; h = o⊙tanh(c)",
        formula="3A + 2H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + 2 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "no-forget-gate",
        equations="peephole with f = 1; h = o⊙tanh(c)",
        formula="3A + 2H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + 2 * hidden,
    ),
    Cell(
        "lstm",
        "no-output-gate",
        equations="peephole with o = 1; h = o⊙tanh(c)",
        formula="3A + 2H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + 2 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "no-input-activation",
        equations="peephole with z = a_z; h = o⊙tanh(c)",
        formula="4A + 3H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden) + 3 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "no-output-activation",
        equations="peephole with h = o⊙c",
        formula="4A + 3H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden) + 3 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "coupled",
        equations="peephole with f = 1 − i; h = o⊙tanh(c)",
        formula="3A + 2H",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + 2 * hidden,
        retain_gates={"i": -1},
    ),
    Cell(
        "lstm",
        "full-gate-recurrence",
        equations="peephole, each gate k with R_ki i⁻ + R_kf f⁻ + R_ko o⁻ added; h = o⊙tanh(c)",
        formula="4A + 3H + 9H²",
        source="Greff et al. 2015",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden) + 3 * hidden + 9 * hidden * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "projected",
        equations="standard with h = W_p(o⊙tanh(c)), P = H / 2 wide, rounded up",
        formula="4(IH + PH + H) + PH",
        source="Sak et al. 2014",
        count=lambda inputs, hidden: (
            4 * hidden * (inputs + _half(hidden) + 1) + _half(hidden) * hidden
        ),
        projected=True,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "layer-norm",
        equations="a = g_x⊙LN(W x) + g_h⊙LN(R h⁻) + b; standard with h = o⊙tanh(g_c⊙LN(c) + b_c)",
        formula="4A + 10H",
        source="Ba et al. 2016",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden) + 10 * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "lstm",
        "janet",
        equations="c = σ(a_f)⊙c⁻ + (1 − σ(a_f − 1))⊙tanh(a_c); h = c",
        formula="2A",
        source="van der Westhuizen & Lasenby 2018",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden),
        retain_gates={"f": 1},
    ),
    Cell(
        "gru",
        "reset-after",
        equations="r, z = σ(a); n = tanh(W_n x + b_n + r⊙(R_n h⁻ + b_hn)); h = (1−z)⊙n + z⊙h⁻",
        formula="3A + H",
        source="Cho et al. 2014, version 1",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + hidden,
        retain_gates={"z": 1},
    ),
    Cell(
        "gru",
        "reset-before",
        equations="r, z = σ(a); n = tanh(W_n x + R_n(r⊙h⁻) + b_n); h = (1−z)⊙n + z⊙h⁻",
        formula="3A",
        source="Cho et al. 2014, version 3; Chung et al. 2014",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden),
        retain_gates={"z": 1},
    ),
    Cell(
        "gru",
        "slim-1",
        equations="reset-before with r, z = σ(R h⁻ + b); h = (1−z)⊙n + z⊙h⁻",
        formula="A + 2(H² + H)",
        source="Dey & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + 2 * (hidden * hidden + hidden),
        retain_gates={"z": 1},
    ),
    Cell(
        "gru",
        "slim-2",
        equations="reset-before with r, z = σ(R h⁻); h = (1−z)⊙n + z⊙h⁻",
        formula="A + 2H²",
        source="Dey & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + 2 * hidden * hidden,
    ),
    Cell(
        "gru",
        "slim-3",
        equations="reset-before with r, z = σ(b); h = (1−z)⊙n + z⊙h⁻",
        formula="A + 2H",
        source="Dey & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + 2 * hidden,
        retain_gates={"z": 1},
    ),
    Cell(
        "gru",
        "mut1",
        equations="z = σ(W_z x + b_z); r = σ(a_r); h = tanh(R(r⊙h⁻) + tanh(x) + b)⊙z + h⁻⊙(1−z)",
        formula="2A + H",
        source="Jozefowicz et al. 2015",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden) + hidden,
        square=True,
        retain_gates={"z": -1},
    ),
    Cell(
        "gru",
        "mut2",
        equations="z = σ(a_z); r = σ(x + R_r h⁻ + b_r); h = tanh(R(r⊙h⁻) + W x + b)⊙z + h⁻⊙(1−z)",
        formula="2A + H² + H",
        source="Jozefowicz et al. 2015",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden) + hidden * hidden + hidden,
        square=True,
        retain_gates={"z": -1},
    ),
    Cell(
        "gru",
        "mut3",
        equations="z = σ(W_z x + R_z tanh(h⁻) + b_z); r = σ(a_r); h as in mut2",
        formula="3A",
        source="Jozefowicz et al. 2015",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden),
        retain_gates={"z": -1},
    ),
    # Of D features that may be missing W reads the values and V their masks, W_d the times since
    # they were there: V and W_d have 4DH parameters, and the decay of the inputs 2D once.
    Cell(
        "gru",
        "d",
        equations="u = m⊙x + (1−m)⊙(g⊙x' + (1−g)⊙μ), g = exp(−relu(w⊙δ + b_g)); "
        "k = exp(−relu(W_d δ + b_d)); r, z = σ(W u + V m + R(k⊙h⁻) + b); "
        "n = tanh(W_n u + V_n m + R_n(r⊙k⊙h⁻) + b_n); h = (1−z)⊙k⊙h⁻ + z⊙n",
        formula="3A + H",
        source="Che et al. 2018: GRU-D",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + hidden,
        retain_gates={"z": -1},
        gaps="decay",
    ),
    # The hidden decay of GRU-D alone, for inputs of any kind: its matrices read all of them.
    Cell(
        "gru",
        "decay",
        equations="k = exp(−relu(W_d x + b_d)); r, z = σ(W x + R(k⊙h⁻) + b); "
        "n = tanh(W_n x + R_n(r⊙k⊙h⁻) + b_n); h = (1−z)⊙k⊙h⁻ + z⊙n",
        formula="3A + IH + H",
        source="Che et al. 2018: the hidden decay of GRU-D",
        count=lambda inputs, hidden: 3 * _block(inputs, hidden) + inputs * hidden + hidden,
        retain_gates={"z": -1},
    ),
    Cell(
        "gru",
        "light",
        equations="a = BN(W x) + R h⁻; z = σ(a_z); n = relu(a_n); h = z⊙h⁻ + (1−z)⊙n",
        formula="2IH + 2H² + 4H",
        source="Ravanelli et al. 2018",
        count=lambda inputs, hidden: 2 * inputs * hidden + 2 * hidden * hidden + 4 * hidden,
        retain_gates={"z": 1},
    ),
    Cell(
        "mgu",
        "mgu",
        equations="f = σ(a_f); n = tanh(W x + R(f⊙h⁻) + b); h = (1−f)⊙h⁻ + f⊙n",
        formula="2A",
        source="Zhou et al. 2016",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden),
        retain_gates={"f": -1},
    ),
    Cell(
        "mgu",
        "mgu-1",
        equations="mgu with f = σ(R h⁻ + b)",
        formula="A + H² + H",
        source="Heck & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + hidden * hidden + hidden,
        retain_gates={"f": -1},
    ),
    Cell(
        "mgu",
        "mgu-2",
        equations="mgu with f = σ(R h⁻)",
        formula="A + H²",
        source="Heck & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + hidden * hidden,
    ),
    Cell(
        "mgu",
        "mgu-3",
        equations="mgu with f = σ(b), the same at every step; h = (1−f)⊙h⁻ + f⊙n",
        formula="A + H",
        source="Heck & Salem 2017",
        count=lambda inputs, hidden: _block(inputs, hidden) + hidden,
        retain_gates={"f": -1},
    ),
    Cell(
        "ugrnn",
        "standard",
        equations="g = σ(a_g); n = tanh(a_n); h = g⊙h⁻ + (1−g)⊙n",
        formula="2A",
        source="Collins et al. 2016",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden),
        retain_gates={"g": 1},
    ),
    Cell(
        "ugrnn",
        "intersection",
        equations="y = g_y⊙x + (1−g_y)⊙relu(a_y), given out; h = g_h⊙h⁻ + (1−g_h)⊙tanh(a_h)",
        formula="4A",
        source="Collins et al. 2016",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden),
        square=True,
        retain_gates={"gh": 1},
    ),
    Cell(
        "ran",
        "standard",
        equations="i, f = σ(a); c = i⊙(W_c x) + f⊙c⁻; h = tanh(c)",
        formula="2A + IH",
        source="Lee et al. 2017",
        count=lambda inputs, hidden: 2 * _block(inputs, hidden) + inputs * hidden,
        retain_gates={"f": 1},
    ),
    Cell(
        "linear",
        "mingru",
        equations="z = σ(W_z x + b_z); h = (1−z)⊙h⁻ + z⊙(W_h x + b_h)",
        formula="2IH + 2H",
        source="Feng et al. 2024",
        count=lambda inputs, hidden: 2 * inputs * hidden + 2 * hidden,
        retain_gates={"z": -1},
        recurrent="none",
    ),
    Cell(
        "linear",
        "minlstm",
        equations="f, i = σ(W x + b); h = (f⊙h⁻ + i⊙(W_h x + b_h)) / (f + i)",
        formula="3IH + 3H",
        source="Feng et al. 2024",
        count=lambda inputs, hidden: 3 * inputs * hidden + 3 * hidden,
        retain_gates={"f": 1},
        recurrent="none",
    ),
    Cell(
        "linear",
        "sru",
        equations="f, r = σ(W x + v⊙c⁻ + b); c = f⊙c⁻ + (1−f)⊙(W_c x); h = r⊙c + (1−r)⊙x",
        formula="3IH + 4H",
        source="Lei et al. 2018",
        count=lambda inputs, hidden: 3 * inputs * hidden + 4 * hidden,
        square=True,
        retain_gates={"f": 1},
        recurrent="none",
    ),
    Cell(
        "linear",
        "qrnn",
        equations="tanh(z), σ(f), σ(o) from x convolved over 2 steps; c = f⊙c⁻ + (1−f)⊙z; h = o⊙c",
        formula="6IH + 3H",
        source="Bradbury et al. 2017",
        count=lambda inputs, hidden: 6 * inputs * hidden + 3 * hidden,
        retain_gates={"f": 1},
        recurrent="none",
    ),
    Cell(
        "xlstm",
        "slstm",
        equations="m = max(a_i, logσ(a_f) + m⁻); i = exp(a_i − m); f = exp(logσ(a_f) + m⁻ − m); "
        "c = f⊙c⁻ + i⊙tanh(a_z); n = f⊙n⁻ + i; h = σ(a_o)⊙c / n",
        formula="4A",
        source="Beck et al. 2024",
        count=lambda inputs, hidden: 4 * _block(inputs, hidden),
        retain_gates={"f": 1},
    ),
    # The three modes of the authors' package ncps, with a backbone of one layer, H wide.
    Cell(
        "cfc",
        "standard",
        equations="u = 1.7159 tanh(⅔ a_u); f, g = tanh(R u + b); "
        "s = σ((R_s u + b_s) t + R_v u + b_v); h = (1−s)⊙f + s⊙g",
        formula="A + 4(H² + H)",
        source="Hasani et al. 2022, closed-form continuous-time",
        count=lambda inputs, hidden: _block(inputs, hidden) + 4 * hidden * (hidden + 1),
        gaps="elapsed",
    ),
    Cell(
        "cfc",
        "no-gate",
        equations="u, f, g, s as in standard; h = f + s⊙g",
        formula="A + 4(H² + H)",
        source="Hasani et al. 2022, closed-form continuous-time",
        count=lambda inputs, hidden: _block(inputs, hidden) + 4 * hidden * (hidden + 1),
        gaps="elapsed",
    ),
    Cell(
        "cfc",
        "pure",
        equations="u as in standard; f = R u + b; h = a⊙(1 − f⊙exp(−t (|w| + |f|)))",
        formula="A + H² + 3H",
        source="Hasani et al. 2022, closed-form solution",
        count=lambda inputs, hidden: _block(inputs, hidden) + hidden * (hidden + 3),
        gaps="elapsed",
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
        recurrent="none",
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
