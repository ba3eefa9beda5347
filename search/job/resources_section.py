"""What a trial takes of the machine or cluster: the job file's section resources."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, field_validator, model_validator

from spaces.fields import AUTO, Fault, Integer, Number, OrAuto, Section, refusal
from spaces.text import show


class ResourcesSection(Section):
    """What a trial takes of the machine or cluster."""

    cpus_per_trial: Number = Field(1.0, gt=0, description="CPU cores; a fraction shares a core.")
    gpus_per_trial: Annotated[
        float | Literal["auto"],
        OrAuto(
            Annotated[Number, Field(ge=0)],
            "a number",
            "write auto, or how many GPUs a trial takes: 0, 0.5, 1",
        ),
    ] = Field(
        0.0,
        description="GPUs; a fraction shares one. auto: a worker has a GPU of its own and trains "
        "as many trials at once as memory and speed allow.",
    )
    cpu_trials: StrictBool = Field(
        False,
        description="With gpus_per_trial: auto, nodes without a GPU take trials too.",
    )
    max_concurrent: Integer | None = Field(
        None,
        ge=1,
        description="Trials of the search at a time; null is as many as fit, and on CPUs a worker "
        "may train several of one shape together.",
    )

    @field_validator("cpus_per_trial", "gpus_per_trial")
    @classmethod
    def _check_fraction(cls, amount: float | Literal["auto"]) -> float | Literal["auto"]:
        if amount == AUTO:
            return amount
        if amount > 1 and amount != int(amount):
            rule = f"must be whole above 1, not {show(amount)}"
            raise refusal([Fault(rule, f"write {int(amount)} or {int(amount) + 1}")])
        if 0 < amount < 1e-4:
            rule = f"must be 0 or at least 0.0001, not {show(amount)}"
            raise refusal([Fault(rule, "write 0.0001 or more")])
        return amount

    @model_validator(mode="after")
    def _check_cpu_trials(self) -> Self:
        if self.cpu_trials and not self.packed:
            rule = (
                "cpu_trials must come with gpus_per_trial: auto, not "
                f"{show(self.gpus_per_trial)}: it says what nodes without a GPU do"
            )
            remedy = "write gpus_per_trial: auto, or remove the key"
            raise refusal([Fault(rule, remedy, ("cpu_trials",))])
        return self

    @property
    def packed(self) -> bool:
        """Whether a worker takes several trials of the search at once."""
        return self.gpus_per_trial == AUTO

    @property
    def cohorts(self) -> bool:
        """Whether workers on CPUs train trials of the search together that have one shape."""
        return not self.gpus_per_trial and self.max_concurrent is None

    @property
    def devices(self) -> str:
        """What trials train on: "GPU", "CPU", or both words."""
        if self.cpu_trials:
            return "GPU or CPU"
        return "GPU" if self.gpus_per_trial else "CPU"

    @property
    def gpus(self) -> float:
        """GPUs that a worker is given: a share of one, some, or none."""
        return 1.0 if self.gpus_per_trial == AUTO else self.gpus_per_trial
