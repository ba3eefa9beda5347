"""Settings of training that are valid but change nothing: told as warnings."""

from collections.abc import Iterator, Sequence

from search.job.resources_section import ResourcesSection
from spaces.arms import Arm
from spaces.domains import Choices, Domain, Fixed, Range
from spaces.hyperparameters import HYPERPARAMETERS


def precision_warnings(arms: Sequence[Arm], resources: ResourcesSection) -> Iterator[str]:
    """Yield where a precision is not that of all trials: CPUs compute in float32."""
    usual = HYPERPARAMETERS["precision"].tried
    readers = [arm for arm in arms if any(cell.reads("precision") for cell in arm.cells)]
    if all(arm.space["precision"] == usual for arm in readers):
        return
    if not resources.gpus_per_trial:
        yield (
            "precision changes nothing: with resources.gpus_per_trial 0 all trials run on "
            "CPUs, in float32"
        )
    elif resources.cpu_trials:
        yield (
            "precision is that of GPUs alone: with resources.cpu_trials, trials on nodes "
            "without a GPU run in float32"
        )


def prior_warnings(prior: str, warm_start: str | None, arms: Sequence[Arm]) -> Iterator[str]:
    """Yield why what former jobs say of learning rates is not asked for, where it is not."""
    if prior != "jobs":
        return
    if warm_start is not None:
        yield "search.prior changes nothing: with warm_start a search begins with more"
    elif all(isinstance(arm.space["learning_rate"], Fixed) for arm in arms):
        yield "search.prior changes nothing: no arm searches learning_rate"


def schedule_warnings(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield settings that no schedule reads, or that no training is long enough for."""
    spaces = [arm.space for arm in arms]
    decays = any("step" in space["schedule"] or "plateau" in space["schedule"] for space in spaces)
    for key in ("decay_after", "decay_factor"):
        if not decays and any(space[key] != HYPERPARAMETERS[key].tried for space in spaces):
            yield f"{key} changes nothing: no schedule is step or plateau"
    epochs = arms[0].max_epochs
    # The first epoch may be the best one, and those of the warm-up do not count.
    ends = [_least(space["patience"]) + max(1.0, _least(space["warm_up"])) for space in spaces]
    given = any(space["patience"] != Fixed(None) for space in spaces)
    if given and min(ends) >= epochs:
        yield f"patience changes nothing: it is never over before the last of {epochs} epochs"
    if any(_least(space["warm_up"]) >= epochs for space in spaces):
        yield f"no training reaches its learning_rate: warm_up is not below max_epochs {epochs}"


def truncation_warnings(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield where no training is truncated."""
    given = any(arm.space["truncation"] != Fixed(None) for arm in arms)
    if given and not any("always" in arm.space["carry_state"] for arm in arms):
        yield "truncation changes nothing: no carry_state is always"


def _least(domain: Domain) -> float:
    """Return the least number of a domain; infinity where there is none."""
    match domain:
        case Range(low):
            return low
        case Choices(values):
            given = values
        case Fixed(value):
            given = (value,)
    return min((float(value) for value in given if value is not None), default=float("inf"))
