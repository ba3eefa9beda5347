"""The smallest model of an arm: whether an arm can meet a limit of parameters or memory at all."""

from collections.abc import Iterator, Mapping
from typing import Any

from spaces.arms import Arm
from spaces.domains import Choices, Domain, Range, values
from spaces.hyperparameters import HYPERPARAMETERS
from spaces.inputs import Inputs
from spaces.sizes import parameters

_SIZING = {row.name for row in HYPERPARAMETERS.values() if row.sizing}


def smallest(
    arm: Arm, inputs: int | Inputs, outputs: int, given: Mapping[str, int] | None = None
) -> tuple[int, dict[str, Any]]:
    """Return the least number of parameters in an arm, and the answers that lead to it.

    given: answers that the model must have, by name. Only questions of size are answered; what else
    there is makes no difference.
    """
    best: tuple[int, dict[str, Any]] | None = None
    domains = arm.domains()
    sizes = {
        name: min(map(_number, domain.values)) if isinstance(domain, Choices) else int(domain.low)
        for name, domain in domains.items()
        if name in _SIZING and isinstance(domain, Choices | Range)
    }
    for cells in _cells(domains):
        answers = {**sizes, **(given or {}), **cells}

        def ask(name: str, domain: Domain, answers: dict[str, Any] = answers) -> Any:
            return answers.get(name, domain.low if isinstance(domain, Range) else values(domain)[0])

        number = parameters(arm.configure(ask), inputs, outputs)
        if best is None or number < best[0]:
            best = number, answers
    assert best is not None
    return best


def largest_values(arm: Arm) -> dict[str, int]:
    """Return the largest value of each hyperparameter of size that the arm tries."""
    return {
        name: max(map(_number, domain.values)) if isinstance(domain, Choices) else int(domain.high)
        for name, domain in arm.domains().items()
        if name in _SIZING and isinstance(domain, Choices | Range)
    }


def _number(value: Any) -> int:
    return int(value)  # a flag, or whole


def _cells(domains: Mapping[str, Domain]) -> Iterator[dict[str, Any]]:
    """Yield every choice of a cell and its gates."""
    chosen: list[dict[str, Any]] = [{}]
    for name, domain in domains.items():
        if name == "cell" or name.startswith("gates"):
            chosen = [{**one, name: value} for one in chosen for value in values(domain)]
    yield from chosen
