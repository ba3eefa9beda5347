"""How the job file writes an arm: in short, as a mapping with one cell, or with several pooled."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from spaces.arms import Arm, Branch
from spaces.cells import CELLS, Cell, default_gates, families, find, parse
from spaces.domains import Domain
from spaces.errors import InputError
from spaces.fields import Fault, Name, Section, ShortForm, Text, refusal
from spaces.space import ParameterBudget, Space
from spaces.text import show

_CELL_NAMES = [*families(), *(cell.name for cell in CELLS)]
_CELL = {"enum": _CELL_NAMES, "description": "A cell family, or family-gates."}
_GATES = {"enum": list(dict.fromkeys(cell.gates for cell in CELLS))}


_SHORT = ShortForm("cell", "a cell's name", "lstm, or {cell: lstm}", _CELL)


def _as_list(written: Any) -> Any:
    return [written] if isinstance(written, str) else written


CellName = Annotated[Text, WithJsonSchema(_CELL)]
Gates = Annotated[
    tuple[Text, ...],
    Field(min_length=1),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_GATES, {"type": "array", "items": _GATES, "minItems": 1}]}),
]


class PooledCell(Section):
    """A cell family of a pooled arm, with the gate variants that may be tried."""

    cell: CellName
    gates: Gates | None = Field(
        None, description="One gate variant or several; default: the family's first one."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        self.branch()
        return self

    def branch(self) -> Branch:
        """Return the cells that are meant. Raises a refusal for unknown names."""
        return _branch(self.cell, self.gates)

    def dump(self) -> dict[str, Any]:
        """Return the canonical form: a family and the list of its gate variants."""
        return _dump_branch(self.branch())


PooledCellWritten = Annotated[PooledCell, _SHORT]


class ArmSection(Section):
    """One thing that is compared. Either cell (with gates), or cells (a pooled arm)."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["cell"], "properties": {"cell": {"type": "string"}}},
                {"required": ["cells"], "properties": {"cells": {"type": "array"}}},
            ]
        }
    )

    name: Name | None = Field(
        None, description="Default: the cell's name. A pooled arm must have one."
    )
    cell: CellName | None = None
    gates: Gates | None = Field(
        None, description="One gate variant or several; default: the family's first one."
    )
    cells: Annotated[tuple[PooledCellWritten, ...], Field(min_length=1)] | None = Field(
        None, description="The trial chooses among these cells itself."
    )
    space: Space = Field(
        default_factory=Space, description="Keys that differ from the job's space."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if (self.cell is None) == (self.cells is None):
            rule = "an arm must have either cell or cells"
            remedy = "write cell: lstm, or cells: [lstm, gru] for an arm that chooses itself"
            raise refusal([Fault(rule, remedy)])
        if self.cells is not None and self.gates is not None:
            rule = "a pooled arm must have its gates beside each cell"
            remedy = "write cells: [{cell: lstm, gates: [...]}, gru]"
            raise refusal([Fault(rule, remedy, ("gates",))])
        if self.cells is not None and self.name is None:
            raise refusal([Fault("a pooled arm must have a name", "add name: any")])
        self.branches()
        return self

    def branches(self) -> tuple[Branch, ...]:
        """Return the arm's families. Raises a refusal for unknown or repeated ones."""
        if self.cell is not None:
            return (_branch(self.cell, self.gates),)
        assert self.cells is not None
        found = tuple(pooled.branch() for pooled in self.cells)
        seen: set[str] = set()
        named: set[str] = set()
        for position, branch in enumerate(found):
            if branch.name in named:
                rule = f"{branch.name} must be listed once"
                remedy = f"write one entry: {{cell: {branch.cells[0].family}, gates: [...]}}"
                raise refusal([Fault(rule, remedy, ("cells", position))])
            named.add(branch.name)
            for cell in branch.cells:
                if cell.name in seen:
                    rule = f"{cell.name} must be listed once"
                    path = ("cells", position)
                    raise refusal([Fault(rule, "remove one of the two", path)])
                seen.add(cell.name)
        return found

    @property
    def title(self) -> str:
        """The arm's name."""
        if self.name is None and self.gates is not None:
            return self.branches()[0].name
        return self.name or self.cell or ""

    def resolve(
        self, shared: Mapping[str, Domain], budget: ParameterBudget | None, max_epochs: int
    ) -> Arm:
        """Return the arm over the job's shared space."""
        domains, own_budget = self.space.over(shared, budget)
        return Arm(self.title, self.branches(), domains, max_epochs, own_budget)

    def dump(self) -> dict[str, Any]:
        """Return the canonical long form."""
        found: dict[str, Any] = {"name": self.title}
        if self.cells is None:
            found.update(_dump_branch(self.branches()[0]))
        else:
            found["cells"] = [pooled.dump() for pooled in self.cells]
        space = self.space.dump()
        return {**found, "space": space} if space else found


ArmWritten = Annotated[ArmSection, _SHORT]


def _branch(name: str, gates: tuple[str, ...] | None) -> Branch:
    """Return a family with gate variants. Raises a refusal for unknown or repeated names."""
    try:
        named = parse(name)
    except InputError as error:
        raise refusal(_faults(error, "cell")) from None
    if gates is None:
        return Branch(_name((named,)), (named,))
    if name not in families():
        rule = f"gates must not be given beside {show(name)}, which names its own"
        raise refusal([Fault(rule, f"write cell: {named.family} beside gates", ("gates",))])
    found = []
    for position, variant in enumerate(gates):
        try:
            cell = find(name, variant)
        except InputError as error:
            raise refusal(_faults(error, "gates", position)) from None
        if cell in found:
            fault = Fault(
                f"{variant} must be listed once", "remove one of the two", ("gates", position)
            )
            raise refusal([fault])
        found.append(cell)
    return Branch(_name(tuple(found)), tuple(found))


def _name(cells: tuple[Cell, ...]) -> str:
    """Return a branch's name: the family, with the gates where they are not the default ones."""
    family, gates = cells[0].family, cells[0].gates
    return family if len(cells) > 1 or gates == default_gates(family) else f"{family}-{gates}"


def _faults(error: InputError, *path: str | int) -> list[Fault]:
    return [Fault(problem.rule, problem.remedy, path) for problem in error.problems]


def _dump_branch(branch: Branch) -> dict[str, Any]:
    return {"cell": branch.cells[0].family, "gates": [cell.gates for cell in branch.cells]}
