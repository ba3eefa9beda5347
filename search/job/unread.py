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


def schedule_warnings(arms: Sequence[Arm]) -> Iterator[str]:
    """Yield settings that no schedule reads, or that no training is long enough for."""
    spaces = [arm.space for arm in arms]
    decays = any("step" in space["schedule"] or "plateau" in space["schedule"] for space in spaces)
    for key in ("decay_after", "decay_factor"):
        if not decays and any(space[key] != HYPERPARAMETERS[key].tried for space in spaces):
            yield f"{key} changes nothing: no schedule is step or plateau"
    epochs = arms[0].max_epochs
    if all(_least(space["patience"]) >= epochs for space in spaces) and any(
        space["patience"] != Fixed(None) for space in spaces
    ):
        yield f"patience changes nothing: no training has more than max_epochs {epochs} epochs"
    if any(_least(space["warm_up"]) >= epochs for space in spaces):
        yield f"no training reaches its learning_rate: warm_up is not below max_epochs {epochs}"


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
