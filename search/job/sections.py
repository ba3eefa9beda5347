"""The sections of a job file: what each key means, its default, and its rules."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from search.job import unread
from search.job.confirm_section import ConfirmSection
from search.job.control_trials import CONTROLS, TRIALS_EACH, usual_share
from search.job.feasibility import sampler_faults, scoring_faults
from search.job.objectives import Objective
from search.job.pruner_sections import PrunerSection, fitting_pruner, usual_search
from search.job.resources_section import ResourcesSection
from search.job.samplers import SAMPLERS, sampler_name
from search.job.server_sections import StorageSection, TrackingSection
from search.job.start_section import StartSection, start_faults
from spaces.arm_section import ArmSection, ArmWritten
from spaces.arms import Arm
from spaces.domains import Domain, Fixed, Value, ValueKey, plain
from spaces.fields import Fault, Integer, Name, Number, Section, Text, refusal
from spaces.hyperparameters import (
    DEFAULTS,
    FIXED_BY_TRAINING,
    HYPERPARAMETERS,
    NUMERIC_DEFAULTS,
    CarryState,
)
from spaces.space import Space, plain_space
from spaces.tasks import TaskSpec
from spaces.text import listed, show

#: A section with a key for each row of the table of hyperparameters that training fixes.
if TYPE_CHECKING:
    _TrainingKeys = Section
else:
    _TrainingKeys = create_model(
        "_TrainingKeys",
        __base__=Section,
        **{
            row.name: (
                Annotated[Value, ValueKey(row.rule)],
                Field(plain(row.tried), description=row.description),
            )
            for row in HYPERPARAMETERS.values()
            if row.training
        },
    )


class TrainingSection(_TrainingKeys):
    """How every trial is trained. What a space searches does not belong here."""

    if TYPE_CHECKING:
        max_epochs: int
        class_weights: str | None
        carry_state: CarryState

    seed: Integer | None = Field(
        None, ge=0, description="Training seed of every trial; null derives one for each."
    )


REPORT_TIMEOUT = 3600.0  #: seconds, where a job file names none
#: What an arm may spend; exactly one of them holds.
BUDGETS = ("trials", "worker_seconds", "epochs")


def _one_budget(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that the budgets exclude each other."""
    schema["allOf"] = [
        {"not": {"required": [*pair], "properties": {key: {"type": "number"} for key in pair}}}
        for pair in combinations(BUDGETS, 2)
    ]


class ConstraintsSection(Section):
    """Limits of every configuration; one that is over a limit is never trained."""

    parameters: Integer | None = Field(
        None, ge=1, description="The most trainable parameters of the whole model; null is any."
    )
    latency_ms: Number | None = Field(
        None,
        gt=0,
        description="The most milliseconds of one forward pass of one typical sequence, measured "
        "before a trial is trained; null is any.",
    )


class SearchSection(Section):
    """How each arm's configurations are chosen and how much each arm may spend."""

    model_config = ConfigDict(json_schema_extra=_one_budget)

    trials: Integer | None = Field(
        None, ge=1, description="Trials of each arm, controls included. Default: 20."
    )
    worker_seconds: Number | None = Field(
        None, gt=0, description="Instead of trials: seconds of training of each arm."
    )
    epochs: Integer | None = Field(
        None, ge=1, description="Instead of trials: epochs of each arm, over all its trials."
    )
    wall_clock: Number | None = Field(
        None,
        gt=0,
        description="Seconds after which the whole job's search ends; control trials are finished.",
    )
    sampler: Annotated[Text, AfterValidator(sampler_name)] = Field(
        "freeze-thaw",
        description=f"{listed(SAMPLERS, 'or')}, or package.module.Class of your own. Default: "
        "freeze-thaw; tpe with a pruner, worker_seconds, warm_start or several objectives.",
    )
    pruner: PrunerSection = Field(
        fitting_pruner("freeze-thaw", None),
        description="What stops unpromising trials: a kind, or more. Default: what the sampler "
        "has; promotion where neither is named and worker_seconds is.",
    )
    control_fraction: Number = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of trials drawn at random and trained to their end, alike in every arm. "
        f"Default: {CONTROLS} trials, where there are {CONTROLS * TRIALS_EACH} or more; else none.",
    )
    seed: Integer = Field(0, ge=0, description="Fixes what is tried and every derived seed.")
    objectives: tuple[Objective, ...] = Field(
        ("value",),
        min_length=1,
        description="What is optimized: value (the metric), then parameters or seconds or both.",
    )
    constraints: ConstraintsSection = Field(
        default_factory=ConstraintsSection, description="Limits of every configuration."
    )
    warm_start: Name | None = Field(
        None, description="A prior job in the same root; the samplers learn from its trials."
    )
    start_from: tuple[StartSection, ...] = Field(
        (), description="Configurations that every arm tries first, whole or in part."
    )
    prior: Literal["literature", "jobs", "none"] = Field(
        "literature",
        description="What is known of learning rates before any trial, with which every arm's "
        "first one begins: literature; jobs adds the root's former jobs; none.",
    )
    retries: Integer = Field(
        2, ge=0, description="How often a trial is started again after a fault."
    )
    report_timeout: Number | None = Field(
        None, gt=0, description="Seconds without a report after which a trial is hung; null: 3600."
    )

    @property
    def seconds_until_hung(self) -> float:
        """Seconds without a report after which a trial counts as hung."""
        return REPORT_TIMEOUT if self.report_timeout is None else self.report_timeout

    @model_validator(mode="after")
    def _check_budget_and_pruner(self) -> Self:
        given = [key for key in BUDGETS if getattr(self, key) is not None]
        if len(given) > 1:
            rule = f"{listed(given)} must not be given together: an arm has one budget"
            raise refusal([Fault(rule, "remove all but one", (given[1],))])
        if not given:
            object.__setattr__(self, "trials", 20)  # frozen for everybody but this validator
        if "control_fraction" not in self.model_fields_set:
            object.__setattr__(self, "control_fraction", usual_share(self.trials))
        pruner = self.pruner if "pruner" in self.model_fields_set else None
        if "sampler" not in self.model_fields_set:
            one, cold = len(self.objectives) == 1, self.warm_start is None
            timed = self.worker_seconds is not None
            sampler, pruner = usual_search(pruner, one_objective=one, cold=cold, timed=timed)
            object.__setattr__(self, "sampler", sampler)
        object.__setattr__(self, "pruner", fitting_pruner(self.sampler, pruner))
        return self

    @field_validator("objectives")
    @classmethod
    def _check_objectives(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        if objectives[0] != "value":
            rule = (
                f"the first objective must be value, the task's metric, not {show(objectives[0])}"
            )
            raise refusal([Fault(rule, "write [value, ...]", (0,))])
        for place, name in enumerate(objectives):
            if name in objectives[:place]:
                rule = f"{show(name)} must be listed once"
                raise refusal([Fault(rule, "remove one of the two", (place,))])
        return objectives


class JobFile(Section):
    """A gatesearch job: one experiment that compares cells on one task."""

    name: Name = Field(description="1 to 63 of a-z, 0-9 and -, no - in front; its folder's name.")
    task: TaskSpec = Field(description="A built-in task by name, or kind and data of your own.")
    space: Space = Field(
        default_factory=Space, description="What may be tried; shared by all arms."
    )
    training: TrainingSection = Field(
        default_factory=TrainingSection, description="How trials are trained."
    )
    arms: Annotated[tuple[ArmWritten, ...], Field(min_length=1)] = Field(
        description="What is compared: cells in short (lstm, gru-reset-after), or mappings."
    )
    search: SearchSection = Field(
        default_factory=SearchSection, description="Budget, sampler and pruner."
    )
    confirm: ConfirmSection = Field(
        default_factory=ConfirmSection, description="What is trained again after the search."
    )
    resources: ResourcesSection = Field(
        default_factory=ResourcesSection, description="Of one trial."
    )
    tracking: TrackingSection = Field(default_factory=TrackingSection, description="MLflow.")
    storage: StorageSection = Field(
        default_factory=StorageSection, description="Studies and checkpoints."
    )

    @field_validator("training")
    @classmethod
    def _check_training(cls, training: TrainingSection, info: ValidationInfo) -> TrainingSection:
        space, task = info.data.get("space"), info.data.get("task")
        if task is not None and training.class_weights is not None and not task.classes:
            rule = f"class_weights must be null for {task.of_kind}, which has no classes to weigh"
            raise refusal([Fault(rule, "remove the key", ("class_weights",))])
        if task is not None and training.carry_state != "never" and not task.carries_state:
            rule = f"carry_state must be never for {task.of_kind}, whose sequences are no text"
            raise refusal([Fault(rule, "remove the key", ("carry_state",))])
        twice = [
            key
            for key in FIXED_BY_TRAINING
            if space is not None and key in space.domains() and key in training.model_fields_set
        ]
        if twice:
            raise refusal(
                Fault(
                    f"{key} must be given in space or in training, not in both",
                    "leave it in space to search it, or in training to fix it",
                    (key,),
                )
                for key in twice
            )
        return training

    @field_validator("arms")
    @classmethod
    def _check_arms(
        cls, arms: tuple[ArmSection, ...], info: ValidationInfo
    ) -> tuple[ArmSection, ...]:
        faults = []
        first: dict[str, int] = {}
        for number, arm in enumerate(arms):
            if arm.title in first:
                rule = f"the name {arm.title} must be new; arms[{first[arm.title]}] has it"
                remedy = "give every arm a name of its own: {name: …, cell: …}"
                faults.append(Fault(rule, remedy, (number,)))
            first.setdefault(arm.title, number)
        if {"task", "space", "training"} <= info.data.keys():
            space, task = info.data["space"], info.data["task"]
            resolved = resolve_arms(arms, space, info.data["training"], DEFAULTS)
            for number, whole in enumerate(resolved):
                found = whole.faults(
                    causal=task.causal, classes=task.classes, carries=task.carries_state
                )
                faults += place_faults(arms[number], number, space, found)
            faults += scoring_faults(resolved)
        if faults:
            raise refusal(faults)
        return arms

    @field_validator("search")
    @classmethod
    def _check_search(cls, search: SearchSection, info: ValidationInfo) -> SearchSection:
        training = info.data.get("training")
        if training is None:
            return search
        faults = []
        if search.warm_start is not None and search.warm_start == info.data.get("name"):
            rule = "a job must not start warm from itself"
            faults.append(Fault(rule, "name a prior job, or remove the key", ("warm_start",)))
        least = getattr(search.pruner, "min_epochs", 1)
        if least != "auto" and least > training.max_epochs:
            rule = (
                f"min_epochs must be at most training.max_epochs {show(training.max_epochs)}, not "
                f"{show(least)}: no trial could be stopped"
            )
            remedy = "lower min_epochs, or write pruner: none"
            faults.append(Fault(rule, remedy, ("pruner", "min_epochs")))
        if search.epochs is not None and search.epochs < training.max_epochs:
            rule = (
                f"epochs must be at least training.max_epochs {show(training.max_epochs)}, not "
                f"{show(search.epochs)}: no trial could be completed"
            )
            faults.append(Fault(rule, "give several times max_epochs", ("epochs",)))
        if {"space", "arms"} <= info.data.keys():
            defaults = _defaults(search.sampler)
            arms = resolve_arms(info.data["arms"], info.data["space"], training, defaults)
            faults += sampler_faults(
                search.sampler, search.objectives, search.warm_start is not None, arms
            )
            faults += start_faults(search.start_from, arms)
        if faults:
            raise refusal(faults)
        return search

    @field_validator("confirm")
    @classmethod
    def _check_confirm(cls, confirm: ConfirmSection, info: ValidationInfo) -> ConfirmSection:
        search = info.data.get("search")
        latency = None if search is None else search.constraints.latency_ms
        if faults := list(confirm.faults(len(info.data.get("arms", "ab")), latency)):
            raise refusal(faults)
        return confirm

    def resolve(self) -> tuple[Arm, ...]:
        """Return the arms over the job's space and training."""
        return resolve_arms(self.arms, self.space, self.training, _defaults(self.search.sampler))

    def warnings(self) -> tuple[str, ...]:
        """Return settings that are valid but that nothing reads."""
        cells = [cell for arm in self.resolve() for cell in arm.cells]
        given = [("space", key, domain) for key, domain in self.space.domains().items()]
        given += [
            ("training", key, Fixed(getattr(self.training, key))) for key in FIXED_BY_TRAINING
        ]
        found = [
            f"{section}.{key} changes nothing: no arm has {row.need.what}"
            for section, key, domain in given
            if (row := HYPERPARAMETERS[key]).need is not None
            and row.need.warn_only
            and domain != row.tried
            and not any(cell.reads(key) for cell in cells)
        ]
        if self.search.control_fraction == 1 and self.search.pruner.kind != "none":
            found.append("search.pruner stops nothing: with control_fraction 1 all are controls")
        arms = self.resolve()
        found += unread.prior_warnings(self.search.prior, self.search.warm_start, arms)
        found += self.confirm.unread()
        found += unread.precision_warnings(arms, self.resources)
        return (*found, *unread.schedule_warnings(arms), *unread.truncation_warnings(arms))

    def dump(self) -> dict[str, Any]:
        """Return plain JSON types with every default spelt out; a valid job file itself."""
        shared, budget = self.space.over(_defaults(self.search.sampler), None)
        fields = self.model_dump(mode="json", exclude={"space", "training", "arms"})
        training = self.training.model_dump(
            mode="json", exclude=set(shared) & set(FIXED_BY_TRAINING)
        )
        del fields["confirm"]["seeds"]  # in short for what is spelt out
        fields["search"] = {k: v for k, v in fields["search"].items() if k not in BUDGETS or v}
        arms = [arm.dump() for arm in self.arms]
        return {**fields, "arms": arms, "space": plain_space(shared, budget), "training": training}


def _defaults(sampler: str) -> dict[str, Domain]:
    """Return what a space searches where it says nothing: no choices for a sampler of numbers."""
    numeric = sampler in SAMPLERS and SAMPLERS[sampler].numeric
    return NUMERIC_DEFAULTS if numeric else DEFAULTS


def resolve_arms(
    arms: tuple[ArmSection, ...],
    space: Space,
    training: TrainingSection,
    defaults: Mapping[str, Domain],
) -> tuple[Arm, ...]:
    """Return arms over the job's shared space, what training fixes, and the defaults."""
    fixed: dict[str, Domain] = {key: Fixed(getattr(training, key)) for key in FIXED_BY_TRAINING}
    shared, budget = space.over({**defaults, **fixed}, None)
    return tuple(arm.resolve(shared, budget, training.max_epochs) for arm in arms)


def place_faults(
    arm: ArmSection, number: int, space: Space, faults: list[Fault]
) -> Iterator[Fault]:
    """Yield an arm's faults, whose paths start with a key of its space, from the file's top."""
    for fault in faults:
        key = str(fault.path[0])
        if getattr(arm.space, key) is not None:
            home: tuple[str | int, ...] = ("arms", number, "space")
        elif getattr(space, key) is not None:
            home = ("space",)
        else:
            home = ("arms", number, "space")
        yield replace(fault, path=(*home, *fault.path), top=True)
