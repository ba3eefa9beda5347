"""The job file's `space`: what may be tried, and what is tried where the user says nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_args

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from spaces.config import ForgetBias, Optimizer, RecurrentInit
from spaces.domains import Choices, Domain, Fixed, Range, Rule, plain, read, schema
from spaces.fields import Fault, Integer, Number, Section, refusal

__all__ = ["DEFAULTS", "RULES", "Choices", "Domain", "Fixed", "ParameterBudget", "Range", "Space"]

#: Every key of a space that is a domain, by the name of the field of TrialConfig that it sets.
RULES: dict[str, Rule] = {
    "depth": Rule("integer", at_least=1),
    "hidden_size": Rule("integer", at_least=1),
    "learning_rate": Rule("number", above=0),
    "dropout": Rule("number", at_least=0, below=1),
    "residual": Rule("flag"),
    "bidirectional": Rule("flag"),
    "heads": Rule("integer", at_least=1),
    "forget_bias": Rule("name", names=get_args(ForgetBias)),
    "recurrent_init": Rule("name", names=get_args(RecurrentInit)),
    "weight_drop": Rule("number", at_least=0, below=1),
    "zoneout": Rule("number", at_least=0, below=1),
    "batch_size": Rule("integer", at_least=1),
    "weight_decay": Rule("number", at_least=0),
    "optimizer": Rule("name", names=get_args(Optimizer)),
    "gradient_clip": Rule("number", above=0, nullable=True),
}

#: What is searched where the user says nothing. The other keys of training are fixed there.
DEFAULTS: dict[str, Domain] = {
    "depth": Range(1, 3, integer=True),
    "hidden_size": Choices((16, 32, 64)),
    "learning_rate": Range(1e-4, 3e-2, log=True),
    "dropout": Range(0.0, 0.5),
    "residual": Fixed(False),
    "bidirectional": Fixed(False),
    "heads": Fixed(4),
    "forget_bias": Fixed("default"),
    "recurrent_init": Fixed("orthogonal"),
    "weight_drop": Fixed(0.0),
    "zoneout": Fixed(0.0),
}


@dataclass(frozen=True)
class Key:
    """Makes a field of Space a domain under the rule of that name."""

    name: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda written: read(RULES[self.name], written),
            serialization=core_schema.plain_serializer_function_ser_schema(plain),
        )

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return schema(RULES[self.name])


class ParameterBudget(Section):
    """A number of parameters that every configuration must have; hidden sizes are solved for."""

    target: Integer = Field(ge=1, description="Trainable parameters of the whole model.")
    tolerance: Number = Field(
        0.03, ge=0, lt=1, description="Largest relative distance from the target."
    )


class Space(Section):
    """What may be tried. A key is a single value, {choices: [...]}, or {low, high, log}."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "required": ["hidden_size", "parameters"],
                "properties": {"parameters": {"type": "object"}},
            }
        }
    )

    depth: Annotated[Domain | None, Key("depth")] = Field(
        None, description="Stacked layers. Default: 1 to 3."
    )
    hidden_size: Annotated[Domain | None, Key("hidden_size")] = Field(
        None,
        description="Units a layer and direction; a transformer's width. Default: 16, 32 or 64.",
    )
    parameters: ParameterBudget | None = Field(
        None, description="Instead of hidden_size: it is solved for this number of parameters."
    )
    learning_rate: Annotated[Domain | None, Key("learning_rate")] = Field(
        None, description="Default: 1e-4 to 3e-2, logarithmic."
    )
    dropout: Annotated[Domain | None, Key("dropout")] = Field(
        None, description="On every layer's output, the last one's included. Default: 0 to 0.5."
    )
    residual: Annotated[Domain | None, Key("residual")] = Field(
        None, description="Add a layer's input to its output where both are as wide. Default: no."
    )
    bidirectional: Annotated[Domain | None, Key("bidirectional")] = Field(
        None, description="Run in both directions; not for next-step or next-token. Default: no."
    )
    heads: Annotated[Domain | None, Key("heads")] = Field(
        None, description="Attention heads of a transformer; they divide hidden_size. Default: 4."
    )
    forget_bias: Annotated[Domain | None, Key("forget_bias")] = Field(
        None,
        description="Start of the bias of the gate that keeps the past: zero, one, chrono (by the "
        "longest training sequence), or default: one for forget gates, zero for update gates.",
    )
    recurrent_init: Annotated[Domain | None, Key("recurrent_init")] = Field(
        None, description="Start of the recurrent matrices. Default: orthogonal."
    )
    weight_drop: Annotated[Domain | None, Key("weight_drop")] = Field(
        None, description="Share of recurrent weights that a batch is trained without. Default: 0."
    )
    zoneout: Annotated[Domain | None, Key("zoneout")] = Field(
        None,
        description="Probability with which a unit keeps its state for a step of training. "
        "Default: 0.",
    )
    batch_size: Annotated[Domain | None, Key("batch_size")] = Field(
        None, description="Sequences a batch. Default: training.batch_size."
    )
    weight_decay: Annotated[Domain | None, Key("weight_decay")] = Field(
        None, description="Default: training.weight_decay."
    )
    optimizer: Annotated[Domain | None, Key("optimizer")] = Field(
        None, description="Default: training.optimizer."
    )
    gradient_clip: Annotated[Domain | None, Key("gradient_clip")] = Field(
        None, description="Largest gradient norm; null is off. Default: training.gradient_clip."
    )

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.parameters is not None and self.hidden_size is not None:
            rule = "hidden_size and parameters exclude each other: a budget solves for the size"
            raise refusal([Fault(rule, "keep one of the two", ("parameters",))])
        return self

    def domains(self) -> dict[str, Domain]:
        """Return the keys that are set, with their domains."""
        found = ((key, getattr(self, key)) for key in RULES)
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
        size = {"parameters": self.parameters.model_dump()} if self.parameters else {}
        return {**{key: plain(domain) for key, domain in self.domains().items()}, **size}
