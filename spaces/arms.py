"""Arms: the things that a job compares, and how one configuration is drawn from an arm's space."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from spaces.cells import Cell, find
from spaces.config import TrialConfig
from spaces.domains import Choices, Domain, Fixed, Range, values
from spaces.fields import Fault
from spaces.hyperparameters import HYPERPARAMETERS
from spaces.inputs import Inputs
from spaces.sizes import nearest_size, solve_hidden_size
from spaces.space import ParameterBudget
from spaces.text import listed, show

Ask = Callable[[str, Domain], Any]  #: draws one value: (name, Choices or Range) -> value

_SHOWN = 3  # combinations that a message lists; it counts the rest
_MOST = 10_000  # combinations under a budget that are checked before anything starts
_WIDEST = 0.25  # no remedy proposes a wider tolerance


@dataclass(frozen=True)
class Branch:
    """A family within an arm, with the gate variants that it may have there."""

    name: str  #: as the user wrote it, for example "lstm" or "gru-reset-after"
    cells: tuple[Cell, ...]  #: of one family

    @property
    def bidirectional(self) -> bool:
        """Whether every variant may run in both directions."""
        return all(cell.bidirectional for cell in self.cells)


@dataclass(frozen=True)
class Arm:
    """One thing that is compared: a space of configurations over one cell family or several.

    A sampler is asked for "cell" in a pooled arm, for "gates" (in a pooled arm "gates[<cell>]")
    where there are several variants, and for fields of TrialConfig; always with the same domain.
    """

    name: str
    branches: tuple[Branch, ...]
    space: Mapping[str, Domain]  #: by field of TrialConfig; without hidden_size under a budget
    max_epochs: int
    budget: ParameterBudget | None = None
    #: The task's inputs and outputs, once they are known.
    sizes: tuple[int | Inputs, int] | None = None

    @property
    def pooled(self) -> bool:
        """Whether the trial chooses its cell family itself."""
        return len(self.branches) > 1

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells that a configuration of this arm may have."""
        return tuple(cell for branch in self.branches for cell in branch.cells)

    def bind(self, inputs: int | Inputs, outputs: int) -> "Arm":
        """Return the arm for a task of these sizes; budgets of parameters need them."""
        return replace(self, sizes=(inputs, outputs))

    def configure(self, ask: Ask) -> TrialConfig:
        """Return the configuration that the answers make.

        It asks in a fixed order, and only for what is not fixed and what the chosen branch reads.
        Under a budget of parameters the arm must be bound first; the hidden size is solved for.
        """

        def pick(name: str, domain: Domain) -> Any:
            return domain.value if isinstance(domain, Fixed) else ask(name, domain)

        branch = self.branches[0]
        if self.pooled:
            chosen = ask("cell", self._cell_choices())
            branch = next(b for b in self.branches if b.name == chosen)
        gates = pick(self._gates_name(branch), _gates(branch))
        draft = {"cell": branch.cells[0].family, "gates": gates, "max_epochs": self.max_epochs}
        for key, domain in self._read_by(branch, find(draft["cell"], gates)).items():
            draft[key] = pick(key, domain)
        if self.budget is not None:
            draft["hidden_size"] = self._solve(draft, self.budget)
        return TrialConfig.model_validate(draft)

    def domains(self) -> dict[str, Domain]:
        """Return everything that configure() may ask for, in the order of asking."""
        found: dict[str, Domain] = {"cell": self._cell_choices()} if self.pooled else {}
        for branch in self.branches:
            found[self._gates_name(branch)] = _gates(branch)
        for branch in self.branches:
            found.update(self._read_by(branch, *branch.cells))
        return {name: domain for name, domain in found.items() if not isinstance(domain, Fixed)}

    def faults(self, *, causal: bool, classes: bool = True, carries: bool = True) -> list[Fault]:
        """Return the faults that need no look at data; paths start with a key of the space.

        causal: whether the task forbids models to see the future; classes: whether it has classes;
        carries: whether a state may go on from one of its sequences to the next.
        """
        faults = [*self._direction_faults(causal), *self._heads_faults(), *self._unread_faults()]
        if not classes and self.space["class_weights"] != Fixed(None):
            rule = f"arm {self.name} must have class_weights null: this task has no classes"
            faults.append(Fault(rule, "remove the key", ("class_weights",)))
        return faults + self._carry_faults(carries)

    @property
    def carries(self) -> bool:
        """Whether its models are scored with states that go on from window to window."""
        return self.space["carry_state"] != Fixed("never")

    def _carry_faults(self, carries: bool) -> list[Fault]:
        place = ("carry_state",)
        if not self.carries:
            return []
        if not carries:
            rule = f"arm {self.name} must have carry_state never: this task's sequences are no text"
            return [Fault(rule, "remove the key", place)]
        if "never" in self.space["carry_state"]:
            rule = f"arm {self.name} must have its trials scored alike: with carry_state never, or "
            return [Fault(f"{rule}without", "remove never from the choices", place)]
        without = [cell.name for cell in self.cells if cell.attention]
        if without:
            rule = f"arm {self.name} must have a state to carry; {listed(without)} has none"
            return [Fault(rule, "remove carry_state, or the arm from this job", place)]
        return []

    def budget_faults(self) -> list[Fault]:
        """Return the combinations that cannot meet the budget of parameters. The arm is bound."""
        if self.budget is None:
            return []
        assert self.sizes is not None
        target, tolerance = self.budget.target, self.budget.tolerance
        drafts = list(islice(self._combinations(), _MOST + 1))
        misses = [
            (draft, *nearest_size(draft, *self.sizes, target))
            for draft in drafts
            if solve_hidden_size(draft, *self.sizes, target, tolerance) is None
        ]
        if misses:
            fault = self._missed(self.budget, misses, {draft["depth"] for draft in drafts})
            return [replace(fault, path=("parameters",))]
        if len(drafts) > _MOST:
            rule = f"arm {self.name} must have at most {_MOST:,} combinations under its budget"
            remedy = "narrow the ranges of depth and heads, so that all can be checked"
            return [Fault(rule, remedy, ("parameters",))]
        return []

    def _missed(
        self,
        budget: ParameterBudget,
        misses: list[tuple[dict[str, Any], int, int]],
        depths: set[int],
    ) -> Fault:
        """Return the fault of combinations (draft, nearest hidden size, its number) that miss."""
        shown = []
        for draft, hidden, count in misses[:_SHOWN]:
            text = f"{draft['cell']}-{draft['gates']} of depth {draft['depth']}"
            text += ", bidirectional" if draft["bidirectional"] else ""
            text += f", {draft['heads']} heads" if draft["heads"] > 1 else ""
            shown.append(f"{text} comes nearest with {count:,} (hidden_size {hidden})")
        if len(misses) > _SHOWN:
            shown.append(f"and {len(misses) - _SHOWN} more")
        rule = (
            f"every model of arm {self.name} must have {budget.target:,} parameters "
            f"± {budget.tolerance:.2%}; {'; '.join(shown)}"
        )
        remedies = []
        if good := sorted(depths - {draft["depth"] for draft, _, _ in misses}):
            remedies.append(f"write a depth of {listed(good[: 3 * _SHOWN], 'or')}")
        worst = max(abs(count - budget.target) for _, _, count in misses)
        needed = math.ceil(worst / budget.target * 1000) / 1000
        if needed < _WIDEST:
            remedies.append(f"widen the tolerance to {needed}")
        return Fault(rule, ", or ".join([*remedies, "move the target"]))

    def _cell_choices(self) -> Choices:
        return Choices(tuple(branch.name for branch in self.branches))

    def _gates_name(self, branch: Branch) -> str:
        return f"gates[{branch.name}]" if self.pooled else "gates"

    def _read_by(self, branch: Branch, *cells: Cell) -> dict[str, Domain]:
        """Return the part of the space that any of these cells of a branch reads."""
        found = {
            key: domain
            for key, domain in self.space.items()
            if any(cell.reads(key) for cell in cells)
        }
        if not branch.bidirectional:
            del found["bidirectional"]
        return found

    def _solve(self, draft: Mapping[str, Any], budget: ParameterBudget) -> int:
        if self.sizes is None:
            raise RuntimeError(f"arm {self.name} has a budget: bind it to a task's sizes first")
        hidden = solve_hidden_size(dict(draft), *self.sizes, budget.target, budget.tolerance)
        if hidden is None:
            raise RuntimeError(f"arm {self.name} was not checked: {draft} cannot meet its budget")
        return hidden

    def _combinations(self) -> Iterator[dict[str, Any]]:
        """Yield drafts of everything that the number of parameters depends on, deepest first."""
        for branch in self.branches:
            read = self._read_by(branch, *branch.cells)
            for depth in reversed(values(read["depth"])):
                for both in values(read.get("bidirectional", Fixed(False))):
                    for heads in values(read.get("heads", Fixed(1))):
                        sizes = {"depth": depth, "bidirectional": both, "heads": heads}
                        for cell in branch.cells:
                            yield {"cell": cell.family, "gates": cell.gates, **sizes}

    def _direction_faults(self, causal: bool) -> list[Fault]:
        domain = self.space["bidirectional"]
        if True not in domain:
            return []
        if causal:
            rule = f"arm {self.name} must not see the future: this task predicts the next step"
            return [Fault(rule, "set bidirectional: false", ("bidirectional",))]
        one_way = [branch.name for branch in self.branches if not branch.bidirectional]
        if isinstance(domain, Fixed) and one_way:
            rule = f"arm {self.name} must run in one direction, as {listed(one_way)} does"
            return [Fault(rule, "set bidirectional: false for this arm", ("bidirectional",))]
        return []

    def _heads_faults(self) -> list[Fault]:
        if self.budget is not None or not any(cell.attention for cell in self.cells):
            return []  # a solved size is a multiple of heads
        size = self.space["hidden_size"]
        for heads in values(self.space["heads"]):
            assert isinstance(heads, int)
            odd = _indivisible(size, heads)
            if odd is not None:
                rule = (
                    f"hidden_size {show(odd)} of arm {self.name} must be divisible by its "
                    f"{show(heads)} heads"
                )
                remedy = (
                    f"give the transformer's arm multiples, as in hidden_size: "
                    f"{{choices: [{heads * 4}, {heads * 8}]}}, or other heads"
                )
                return [Fault(rule, remedy, ("hidden_size",))]
        return []

    def _unread_faults(self) -> list[Fault]:
        """Return settings that would change nothing, whatever the trial chooses."""
        found = []
        names = listed([cell.name for cell in self.cells], "or")
        for key, row in HYPERPARAMETERS.items():
            if row.need is None or row.need.warn_only:
                continue
            if self.space[key] in (row.tried, row.unsearched):
                continue
            if any(cell.reads(key) for cell in self.cells):
                continue
            rule = f"{key} must be left out in arm {self.name}: no {row.need.what} is in {names}"
            remedy = f"write space: {{{key}: {row.default}}} in this arm, or remove {key}"
            found.append(Fault(rule, remedy, (key,)))
        return found


def _indivisible(size: Domain, heads: int) -> int | None:
    """Return a hidden size that heads do not divide."""
    match size:
        case Range(low, high):  # two neighbours are enough: only one head divides both
            candidates: tuple[Any, ...] = (int(low), int(high), int(low) + 1)
        case _:
            candidates = tuple(values(size))
    return next((hidden for hidden in candidates if hidden % heads), None)


def _gates(branch: Branch) -> Domain:
    names = tuple(cell.gates for cell in branch.cells)
    return Choices(names) if len(names) > 1 else Fixed(names[0])
