"""The sections of a job file's `search.pruner`: one for each way of stopping trials."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from search.job.samplers import SAMPLERS
from spaces.fields import Fault, Integer, OrAuto, Section, ShortForm, refusal


class SuccessiveHalvingSection(Section):
    """At epochs min_epochs, times reduction, and so on: only the best 1/reduction go on.

    mode stopping ends the others for good; promotion pauses them, and each goes on once it is among
    the best. min_epochs auto follows from how well early values rank later ones in the job itself.
    """

    form = "<successive-halving>"

    kind: Literal["successive-halving"] = Field(description="The way of stopping trials.")
    mode: Literal["stopping", "promotion"] = Field(
        "stopping",
        description="What becomes of a trial that is not among the best at a rung: stopping ends "
        "it, promotion pauses it until it is.",
    )
    min_epochs: Annotated[
        int | Literal["auto"],
        OrAuto(
            Annotated[Integer, Field(ge=1)],
            "a whole number of 1 or more",
            "write auto, or the first rung: 1",
        ),
    ] = Field(1, description="The first rung; auto (of promotion): as the job's own curves say.")
    reduction: Integer = Field(3, ge=2, description="One in so many goes on from a rung.")

    @model_validator(mode="after")
    def _check_auto(self) -> Self:
        if self.min_epochs == "auto" and self.mode == "stopping":
            rule = "min_epochs must be a number with mode: stopping, which cannot look again"
            raise refusal([Fault(rule, "write mode: promotion, or a number", ("min_epochs",))])
        return self


class HyperbandSection(Section):
    """Several successive halvings that start at different rungs."""

    form = "<hyperband>"

    kind: Literal["hyperband"] = Field(description="The way of stopping trials.")
    min_epochs: Integer = Field(1, ge=1, description="The first rung of the first bracket.")
    reduction: Integer = Field(3, ge=2, description="One in so many goes on from a rung.")


class MedianSection(Section):
    """Stops a trial that is worse than the median of the others at the same epoch."""

    form = "<median>"

    kind: Literal["median"] = Field(description="The way of stopping trials.")
    min_epochs: Integer = Field(1, ge=1, description="No trial is stopped before.")


class PatientSection(Section):
    """Stops a trial that has not become better for some epochs."""

    form = "<patient>"

    kind: Literal["patient"] = Field(description="The way of stopping trials.")
    patience: Integer = Field(5, ge=1, description="Epochs without improvement.")


class SlicesSection(Section):
    """Trains in slices, each a little longer; sampler freeze-thaw decides which trial goes on."""

    form = "<slices>"

    kind: Literal["slices"] = Field(description="The way of stopping trials.")


class UnprunedSection(Section):
    """Every trial is trained to its end."""

    form = "<none>"

    kind: Literal["none"] = Field(description="The way of stopping trials.")


_SECTIONS = (
    SuccessiveHalvingSection,
    HyperbandSection,
    MedianSection,
    PatientSection,
    SlicesSection,
    UnprunedSection,
)
KINDS = [section.form.strip("<>") for section in _SECTIONS]


def _form(written: Any) -> str:
    if isinstance(written, Section):
        return written.form
    kind = written.get("kind") if isinstance(written, dict) else None
    return f"<{kind}>" if isinstance(kind, str) else "<unknown>"


PrunerSection = Annotated[
    Annotated[SuccessiveHalvingSection, Tag(SuccessiveHalvingSection.form)]
    | Annotated[HyperbandSection, Tag(HyperbandSection.form)]
    | Annotated[MedianSection, Tag(MedianSection.form)]
    | Annotated[PatientSection, Tag(PatientSection.form)]
    | Annotated[SlicesSection, Tag(SlicesSection.form)]
    | Annotated[UnprunedSection, Tag(UnprunedSection.form)],
    Discriminator(_form),
    ShortForm("kind", "a kind", "none, or {kind: median}", {"enum": KINDS}),
]


_PROMOTION = SuccessiveHalvingSection(
    kind="successive-halving", mode="promotion", min_epochs=2, reduction=4
)


def fitting_pruner(sampler: str, given: PrunerSection | None) -> PrunerSection:
    """Return the pruner that is given, or else the one that a sampler has by default.

    Raises a refusal where sampler and pruner do not fit.
    """
    slices = sampler in SAMPLERS and SAMPLERS[sampler].slices
    if given is None:
        usual = SuccessiveHalvingSection(kind="successive-halving")
        return SlicesSection(kind="slices") if slices else usual
    if slices != (given.kind == "slices"):
        rule = "sampler freeze-thaw must have pruner slices, and no other sampler may"
        remedy = "leave pruner out" if slices else "write another pruner, or sampler: freeze-thaw"
        raise refusal([Fault(rule, remedy, ("pruner",))])
    return given


def usual_search(
    pruner: PrunerSection | None, *, one_objective: bool, cold: bool, timed: bool
) -> tuple[str, PrunerSection | None]:
    """Return sampler and pruner of a search that names no sampler; it may name a pruner.

    cold: it does not start warm. timed: it may spend seconds, not epochs or trials.

    Freeze-thaw finds most in few epochs, and promotion in few seconds: it starts trials that last a
    moment, many of them together, where freeze-thaw decides on each alone.
    """
    if timed and one_objective and pruner is None:
        return "tpe", _PROMOTION
    able = one_objective and cold and (pruner is None or pruner.kind == "slices")
    return "freeze-thaw" if able else "tpe", pruner
