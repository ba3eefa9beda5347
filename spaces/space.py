"""The job file's `space`: what may be tried, and what is tried where the user says nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import ConfigDict, Field, create_model, model_validator

from spaces.domains import Domain, DomainKey, describe, plain
from spaces.fields import Fault, Integer, Number, Section, refusal
from spaces.hyperparameters import HYPERPARAMETERS, Hyperparameter


class ParameterBudget(Section):
    """A number of parameters that every configuration must have; hidden sizes are solved for."""

    target: Integer = Field(ge=1, description="Trainable parameters of the whole model.")
    tolerance: Number = Field(
        0.03, ge=0, lt=1, description="Largest relative distance from the target."
    )


def _description(row: Hyperparameter) -> str:
    default = f"training.{row.name}" if row.training else describe(row.tried)
    return f"{row.description} Default: {default}."


_SEARCHABLE = [row for row in HYPERPARAMETERS.values() if row.searchable]

#: A section with a key for each searchable row of the table, and `parameters`.
if TYPE_CHECKING:
    _Keys = Section
else:
    _fields = {}
    for _row in _SEARCHABLE:
        _key = Annotated[Domain | None, DomainKey(_row.rule)]
        _fields[_row.name] = (_key, Field(None, description=_description(_row)))
        if _row.name == "hidden_size":
            _text = "Instead of hidden_size: it is solved for this number of parameters."
            _fields["parameters"] = (ParameterBudget | None, Field(None, description=_text))
    _Keys = create_model("_Keys", __base__=Section, **_fields)


class Space(_Keys):
    """What may be tried. A key is a single value, {choices: [...]}, or {low, high, log}."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "required": ["hidden_size", "parameters"],
                "properties": {"parameters": {"type": "object"}},
            }
        }
    )

    if TYPE_CHECKING:
        hidden_size: Domain | None
        parameters: ParameterBudget | None

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.parameters is not None and self.hidden_size is not None:
            rule = "hidden_size must not be given beside parameters, which solves for it"
            raise refusal([Fault(rule, "remove one of the two", ("parameters",))])
        return self

    def domains(self) -> dict[str, Domain]:
        """Return the keys that are set, with their domains."""
        found = ((row.name, getattr(self, row.name)) for row in _SEARCHABLE)
        return {key: domain for key, domain in found if domain is not None}

    def over(
        self, shared: Mapping[str, Domain], budget: ParameterBudget | None
    ) -> tuple[dict[str, Domain], ParameterBudget | None]:
        """Return shared domains and budget with this space laid over them."""
        domains = {**shared, **self.domains()}
        if self.hidden_size is not None:
            return domains, None
        if self.parameters is not None:
            domains.pop("hidden_size", None)
            return domains, self.parameters
        return domains, budget

    def dump(self) -> dict[str, Any]:
        """Return the keys that are set, as they stand in a job file."""
        return plain_space(self.domains(), self.parameters)


def plain_space(domains: Mapping[str, Domain], budget: ParameterBudget | None) -> dict[str, Any]:
    """Return domains and a budget as they stand in a job file."""
    size = {"parameters": budget.model_dump()} if budget else {}
    rules = {row.name: row.rule for row in _SEARCHABLE}
    return {**{key: plain(domain, rules.get(key)) for key, domain in domains.items()}, **size}
