"""The section of a job file's `search.start_from`: a configuration that every arm tries first."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, create_model, model_serializer, model_validator

from spaces.arms import Arm
from spaces.domains import Value, ValueKey, describe
from spaces.fields import Fault, Section, Text, refusal
from spaces.hyperparameters import HYPERPARAMETERS
from spaces.min_size import smallest
from spaces.text import show

#: A section with a key for each row of the table of hyperparameters that a space searches.
if TYPE_CHECKING:
    _Keys = Section
else:
    _Keys = create_model(
        "_Keys",
        __base__=Section,
        **{
            row.name: (
                Annotated[Value, ValueKey(row.rule)],
                Field(None, description=row.description, validate_default=False),
            )
            for row in HYPERPARAMETERS.values()
            if row.searchable
        },
    )


class StartSection(_Keys):
    """Settings of a trial that every arm begins with; what is left out is drawn at random.

    A setting that an arm's cells do not read is left out there.
    """

    cell: Text | None = Field(None, description="Of arms whose trials choose the cell: which one.")
    gates: Text | None = Field(None, description="Of arms with several gate variants: which one.")

    @model_validator(mode="after")
    def _check_given(self) -> "StartSection":
        if not self.model_fields_set:
            rule = "a configuration to start from must give at least one setting"
            raise refusal([Fault(rule, "write one, as in {learning_rate: 0.003}")])
        return self

    @model_serializer
    def _dump(self) -> dict[str, Any]:
        return self.given()

    def given(self) -> dict[str, Any]:
        """Return what is given, by name; null is a value of some settings."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


def start_faults(starts: Sequence[StartSection], arms: Sequence[Arm]) -> Iterator[Fault]:
    """Yield what keeps an arm from trying a configuration; paths lie below the section `search`.

    Every arm must be able to try all of it, or it would have another start than the others.
    """
    for place, start in enumerate(starts):
        for name, value in start.given().items():
            path = ("start_from", place, name)
            known = [(arm, domain) for arm in arms if (domain := _domain(arm, name)) is not None]
            if not known:
                rule = f"{name} must be a setting of an arm; none has it, or it is solved for"
                yield Fault(rule, "remove it", path)
            for arm, domain in known:
                if value not in domain:
                    rule = (
                        f"{name} must be {describe(domain)}, which arm {arm.name} searches, not "
                        f"{show(value)}"
                    )
                    yield Fault(rule, "change it, or widen the arm's space", path)


def start_limit_faults(
    starts: Sequence[StartSection], arms: Sequence[Arm], most: int
) -> Iterator[Fault]:
    """Yield the configurations of which no model of an arm is within a limit of parameters.

    Arms are bound to the task's sizes; paths are those of a job file.
    """
    for place, start in enumerate(starts):
        for arm in arms:
            assert arm.sizes is not None
            least, _ = smallest(arm, *arm.sizes, start.given())
            if least > most:
                rule = (
                    f"a configuration to start from must have at most {most:,} parameters; the "
                    f"smallest one of arm {arm.name} with these settings has {least:,}"
                )
                remedy = "give a smaller size, or raise constraints.parameters"
                yield Fault(rule, remedy, ("search", "start_from", place))


def _domain(arm: Arm, name: str) -> Any:
    """Return what a setting of an arm may be, asked for or fixed; None if no cell reads it."""
    if name in HYPERPARAMETERS:
        read = any(cell.reads(name) for cell in arm.cells)
        return arm.space.get(name) if read else None
    return arm.domains().get(name)
