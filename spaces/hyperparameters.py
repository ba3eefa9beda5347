"""The one table of hyperparameters: what a space searches and what training fixes.

From this table follow the keys of a job file's `space` and `training` (spaces/space.py,
search/job/sections.py), the bounds and defaults of TrialConfig (spaces/config.py), what an arm may
set (spaces/arms.py, Cell.reads), the smallest model (spaces/min_size.py), the exported job file
(search/export/job_file.py) and what a training cohort shares (trainables/training/cohort.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import EllipsisType
from typing import Literal, Protocol, get_args

from spaces.domains import Choices, Domain, Fixed, Range, Rule, Value

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
Precision = Literal["float32", "tf32", "bf16"]
ForgetBias = Literal["default", "zero", "one", "chrono"]
RecurrentInit = Literal["orthogonal", "xavier"]
Schedule = Literal["constant", "cosine", "step", "plateau"]
CarryState = Literal["never", "evaluation", "always"]


class CellTraits(Protocol):
    """What a hyperparameter may demand of a cell of the catalogue; see spaces.cells.Cell."""

    @property
    def attention(self) -> bool:
        """Whether the cell attends to the whole sequence."""

    @property
    def forget_gate(self) -> bool:
        """Whether a gate with a bias retains the past."""

    @property
    def recurrent(self) -> Literal["configured", "identity", "none"]:
        """How the recurrent matrices start."""


@dataclass(frozen=True)
class Need:
    """What a cell must have to read a hyperparameter.

    what: the same for messages, as in "no {what} is in rnn-tanh".
    warn_only: an arm whose cells do not read the hyperparameter may set it all the same.
    """

    met: Callable[[CellTraits], bool]
    what: str
    warn_only: bool = False


@dataclass(frozen=True)
class Hyperparameter:
    """One row: a field of TrialConfig.

    rule: the values it may have.
    default: its value in a TrialConfig that lacks it; `...` where a TrialConfig must have it.
    domain: what is tried where the job file says nothing; None is the default alone.
    need: what a cell must have to read it; None where every cell reads it.
    training: whether `training` fixes it, unless a space searches it.
    searchable: whether a space may search it.
    sizing: whether the number of parameters depends on it.
    own: whether each member of a training cohort may have its own value; otherwise all share one.
    """

    name: str
    description: str
    rule: Rule
    default: Value | EllipsisType = ...
    domain: Domain | None = None
    need: Need | None = None
    training: bool = False
    searchable: bool = True
    sizing: bool = False
    own: bool = False

    @property
    def tried(self) -> Domain:
        """What is tried where the job file says nothing."""
        if self.domain is not None:
            return self.domain
        assert not isinstance(self.default, EllipsisType), f"{self.name} has no domain"
        return Fixed(self.default)

    @property
    def unsearched(self) -> Domain:
        """What is tried where nothing is to be searched: the default, where there is one."""
        return self.tried if isinstance(self.default, EllipsisType) else Fixed(self.default)

    def read_by(self, cell: CellTraits) -> bool:
        """Return whether it has a meaning for a cell."""
        return self.need is None or self.need.met(cell)


#: The order is that in which a sampler is asked: a change of it changes what searches find.
_TABLE = (
    Hyperparameter(
        "depth",
        "Stacked layers.",
        Rule("integer", at_least=1),
        domain=Range(1, 3, integer=True),
        sizing=True,
    ),
    Hyperparameter(
        "hidden_size",
        "Units a layer and direction; a transformer's width.",
        Rule("integer", at_least=1),
        domain=Choices((16, 32, 64)),
        sizing=True,
    ),
    Hyperparameter(
        "learning_rate",
        "Size of the optimizer's steps.",
        Rule("number", above=0),
        domain=Range(1e-4, 3e-2, log=True),
        own=True,
    ),
    Hyperparameter(
        "dropout",
        "On every layer's output, the last one's included.",
        Rule("number", at_least=0, below=1),
        default=0.0,
        domain=Range(0.0, 0.5),
        own=True,
    ),
    Hyperparameter(
        "residual",
        "Add a layer's input to its output where both are as wide.",
        Rule("flag"),
        default=False,
    ),
    Hyperparameter(
        "bidirectional",
        "Run in both directions; not for next-step or next-token.",
        Rule("flag"),
        default=False,
        sizing=True,
    ),
    Hyperparameter(
        "heads",
        "Attention heads of a transformer; they divide hidden_size.",
        Rule("integer", at_least=1),
        default=4,
        need=Need(lambda cell: cell.attention, "attention", warn_only=True),
        sizing=True,
    ),
    # Zero, one (Jozefowicz 2015), or the time scales of the task (chrono; Tallec & Ollivier 2018:
    # b_f = log U[1, T - 1], b_i = -b_f). By default an LSTM retains the past at first and a GRU
    # does not, which decides between them where sequences are long: so both starts are tried.
    Hyperparameter(
        "forget_bias",
        "Initial bias of the gate that retains the past: zero, one, chrono (by the longest "
        "training sequence), or default (one for forget gates, zero for update gates).",
        Rule("name", names=get_args(ForgetBias)),
        default="default",
        domain=Choices(("zero", "one")),
        need=Need(lambda cell: cell.forget_gate, "gate with a bias that retains the past"),
        own=True,
    ),
    # Of the matrices R, block by block.
    Hyperparameter(
        "recurrent_init",
        "Start of the recurrent matrices.",
        Rule("name", names=get_args(RecurrentInit)),
        default="orthogonal",
        need=Need(
            lambda cell: cell.recurrent == "configured",
            "recurrent matrix whose start can be chosen",
        ),
        own=True,
    ),
    # DropConnect on the matrices R in training, one mask for a whole batch (Merity et al. 2018).
    Hyperparameter(
        "weight_drop",
        "Share of recurrent weights that a batch is trained without.",
        Rule("number", at_least=0, below=1),
        default=0.0,
        need=Need(lambda cell: cell.recurrent != "none", "recurrent matrix"),
        own=True,
    ),
    # In evaluation a unit takes the expectation (Krueger et al. 2017). Zoneout acts on the output h
    # of a cell and on its memory c, as far as the next step reads them; not on the memory of slstm,
    # whose units are scaled anew at every step, and not on gates that a cell carries along.
    Hyperparameter(
        "zoneout",
        "Probability with which a unit retains its state for a step of training.",
        Rule("number", at_least=0, below=1),
        default=0.0,
        need=Need(lambda cell: not cell.attention, "state that goes from step to step"),
    ),
    Hyperparameter(
        "max_epochs",
        "Epochs of a trial that is not stopped.",
        Rule("integer", at_least=1),
        domain=Fixed(27),
        training=True,
        searchable=False,
        own=True,
    ),
    Hyperparameter(
        "batch_size",
        "Sequences a batch.",
        Rule("integer", at_least=1),
        default=32,
        training=True,
    ),
    Hyperparameter(
        "optimizer",
        "adam, adamw, sgd or rmsprop.",
        Rule("name", names=get_args(Optimizer)),
        default="adam",
        training=True,
        own=True,
    ),
    Hyperparameter(
        "weight_decay",
        "As the optimizer understands it.",
        Rule("number", at_least=0),
        default=0.0,
        training=True,
        own=True,
    ),
    # Sums are float32 in all of them.
    Hyperparameter(
        "precision",
        "Operands of a scan's products on a GPU: float32, tf32 or bf16; a CPU computes in float32.",
        Rule("name", names=get_args(Precision)),
        default="float32",
        need=Need(lambda cell: not cell.attention, "recurrence", warn_only=True),
        training=True,
    ),
    Hyperparameter(
        "gradient_clip",
        "Largest gradient norm; null is off.",
        Rule("number", above=0, nullable=True),
        default=1.0,
        training=True,
        own=True,
    ),
    # Which rate each epoch has, and when patience is over: trainables/training/schedule.py.
    Hyperparameter(
        "schedule",
        "How learning_rate changes with the epochs: constant, cosine, step or plateau.",
        Rule("name", names=get_args(Schedule)),
        default="constant",
        training=True,
        own=True,
    ),
    Hyperparameter(
        "warm_up",
        "Epochs in which the rate rises to learning_rate, before the schedule.",
        Rule("integer", at_least=0),
        default=0,
        training=True,
        own=True,
    ),
    Hyperparameter(
        "decay_after",
        "Epochs between two decays (step), or without a better one before a decay (plateau).",
        Rule("integer", at_least=1),
        default=5,
        training=True,
        own=True,
    ),
    Hyperparameter(
        "decay_factor",
        "What step and plateau multiply the rate by at a decay.",
        Rule("number", above=0, below=1),
        default=0.3,
        training=True,
        own=True,
    ),
    Hyperparameter(
        "patience",
        "Epochs without a better one after which a training is complete early; null is off.",
        Rule("integer", at_least=1, nullable=True),
        default=None,
        training=True,
        own=True,
    ),
    # Of the training loss alone: what is evaluated weighs all targets alike.
    Hyperparameter(
        "class_weights",
        "How much each class counts in training: balanced (rare ones more), a number for each as "
        "{CLASS: 2, …} (others 1) or in a list, or null (all alike).",
        Rule("weights", nullable=True),
        default=None,
        training=True,
    ),
    # A text is scored from its beginning to its end, and with "always" trained in batch_size
    # streams, by truncated back-propagation: trainables/training/carried.py.
    Hyperparameter(
        "carry_state",
        "Of next-token: when the state goes on from one window of a text to the next: never, in "
        "evaluation, or always.",
        Rule("name", names=get_args(CarryState)),
        default="never",
        need=Need(lambda cell: not cell.attention, "state to carry", warn_only=True),
        training=True,
    ),
    Hyperparameter(
        "truncation",
        "Of carry_state always: steps that gradients go back through; null is the task's window.",
        Rule("integer", at_least=1, nullable=True),
        default=None,
        need=Need(lambda cell: not cell.attention, "state to carry", warn_only=True),
        training=True,
    ),
    Hyperparameter(
        "buckets",
        "Whether sequences of nearly one length share a batch: less padding on GPUs.",
        Rule("flag"),
        default=False,
        training=True,
    ),
)

#: Every hyperparameter by its name: all fields of TrialConfig but cell and gates.
HYPERPARAMETERS = {row.name: row for row in _TABLE}

#: What a space searches where it says nothing, without what `training` fixes.
DEFAULTS = {row.name: row.tried for row in _TABLE if not row.training}

#: The same for a sampler that can search no choices: their default, where there is one.
NUMERIC_DEFAULTS = {
    row.name: row.unsearched if isinstance(row.domain, Choices) else row.tried
    for row in _TABLE
    if not row.training
}

#: What a space had that a version before the row was there did not know.
UNSEARCHED = {row.name: row.unsearched for row in _TABLE if not row.training}

#: The keys that `training` fixes unless a space searches them.
FIXED_BY_TRAINING = tuple(row.name for row in _TABLE if row.training and row.searchable)
