"""The job file's section confirm: what is trained again after the search, to tell arms apart."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from spaces.fields import AUTO, Fault, Integer, Number, OrAuto, Section, refusal

Design = Literal["seeds", "splits", "nested"]
FINALISTS = 3  #: of each arm, among which fresh replicates choose, where design splits names none


def _short_form(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that seeds stands for a design and its replicates."""
    number = {"type": "integer"}
    schema["allOf"] = [
        {"not": {"required": ["seeds", key], "properties": {"seeds": number}}}
        for key in ("design", "replicates")
    ]


class ConfirmSection(Section):
    """What is trained again after the search, so that arms can be told apart. 0 skips the phase."""

    model_config = ConfigDict(json_schema_extra=_short_form)

    finalists: Integer = Field(
        1, ge=0, description="Best configurations of each arm; 3 by default with design: splits."
    )
    design: Design = Field(
        "seeds",
        description="What is new in a replicate. seeds: a finalist's training seed. splits: its "
        "training and validation part too. nested: an outer split, and a small search on it.",
    )
    replicates: Annotated[
        int | Literal["auto"],
        OrAuto(
            Annotated[Integer, Field(ge=0)],
            "a whole number",
            "write auto, or how many replicates there are: 10",
        ),
    ] = Field(
        10,
        description="Replicates of each finalist, or of each arm; auto goes on until the arms are "
        "told apart.",
    )
    seeds: Integer | None = Field(
        None, ge=0, description="In short for design: seeds and so many replicates."
    )
    max_replicates: Integer = Field(
        60, ge=1, description="With replicates: auto, the most replicates."
    )
    margin: Number | None = Field(
        None,
        ge=0,
        description="The difference below which two test values count as the same; null: 0.01 of "
        "an accuracy, 2 % of a loss.",
    )
    confidence: Number = Field(0.95, gt=0.5, lt=1, description="Of decisions and intervals.")
    configurations: Integer = Field(
        8, ge=1, description="With design: nested, configurations that each arm tries on a split."
    )

    @model_validator(mode="after")
    def _default_finalists(self) -> Self:
        # One finalist of an arm may differ from one of another by the luck of the search alone: an
        # arm against itself is then called better in a tenth of cases (bench-verdict-bank).
        if self.design == "splits" and "finalists" not in self.model_fields_set:
            object.__setattr__(self, "finalists", FINALISTS)  # frozen for all but this validator
        return self

    @model_validator(mode="after")
    def _check_short_form(self) -> Self:
        if self.seeds is None:
            return self
        twice = [key for key in ("design", "replicates") if key in self.model_fields_set]
        if twice:
            rule = f"seeds must stand without {twice[0]}: it is short for design: seeds, replicates"
            replaced = f"write replicates: {self.seeds} in place of seeds: {self.seeds}"
            remedy = "remove seeds" if "replicates" in twice else replaced
            raise refusal([Fault(rule, remedy, ("seeds",))])
        object.__setattr__(self, "replicates", self.seeds)  # frozen for all but this validator
        return self

    @property
    def auto(self) -> bool:
        """Whether there are replicates until the arms are told apart."""
        return self.replicates == AUTO

    @property
    def most(self) -> int:
        """The number of replicates, or the most of them where that is open."""
        return self.max_replicates if self.replicates == AUTO else self.replicates

    @property
    def least(self) -> int:
        """The number of replicates that there are in any case."""
        return 0 if self.replicates == AUTO else self.replicates

    @property
    def skipped(self) -> bool:
        """Whether nothing is trained again."""
        return self.most == 0 or (self.design != "nested" and self.finalists == 0)

    def unread(self) -> Iterator[str]:
        """Yield warnings of keys that nothing reads."""
        if self.design == "nested" and self.finalists != 1:
            yield (
                "confirm.finalists changes nothing: design nested tries configurations of its own"
            )
        if self.design != "nested" and self.configurations != 8:
            yield "confirm.configurations changes nothing: only design nested draws configurations"
        if not self.auto and self.max_replicates != 60:
            yield "confirm.max_replicates changes nothing: only replicates: auto has a limit"

    def faults(self, arms: int, latency_ms: float | None) -> Iterator[Fault]:
        """Yield what is wrong with it in a job of so many arms, with a limit of latency."""
        if self.design == "nested" and latency_ms is not None:
            rule = "design must not be nested beside search.constraints.latency_ms: what it draws "
            rule += "is not measured"
            yield Fault(rule, "use design splits, or remove the limit", ("design",))
        if self.auto and arms < 2:
            rule = "replicates must be a number in a job of one arm: auto tells arms apart"
            yield Fault(rule, "write how many there are, or add an arm", ("replicates",))
