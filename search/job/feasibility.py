"""Which samplers search which spaces, and whether an arm can meet limits of parameters and memory.

All is checked before anything starts, without importing a sampler.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from search.job.samplers import SAMPLERS
from spaces import class_weights
from spaces.arms import Arm
from spaces.domains import Choices, Domain, Fixed, Range, values
from spaces.fields import Fault
from spaces.min_size import largest_values, smallest
from spaces.tasks import TaskInfo
from spaces.text import listed, readable, show

#: What a parameter takes while it is trained, at least: itself and its gradient in float32.
BYTES_A_PARAMETER = 8
BYTES_A_LAYER = 4_000  #: what the objects of a layer take, at least

_PLACE = ("sampler",)  # below the section `search`


def weights_faults(weights: Domain, info: TaskInfo) -> list[Fault]:
    """Return why weights of classes do not fit a task; paths start at `class_weights`."""
    faults = []
    for value in values(weights):
        try:
            if isinstance(value, str):
                class_weights.figures(value, info.labels, info.outputs)
        except ValueError as error:
            remedy = "name classes as the data does, or write balanced"
            faults.append(Fault(str(error), remedy, ("class_weights",)))
    return faults


def sampler_faults(
    name: str, objectives: Sequence[str], warm: bool, arms: Iterable[Arm]
) -> Iterator[Fault]:
    """Yield why the sampler cannot search the arms' spaces, and which settings it cannot use.

    Nothing is known of a sampler of the user's own: it has no faults here.
    """
    row = SAMPLERS.get(name)
    if row is None:
        return
    for arm in arms:
        fault = (_numeric_fault(name, arm) if row.numeric else None) or (
            _finite_fault(name, arm) if row.finite else None
        )
        if fault is not None:
            yield fault
    if warm and not row.learns:
        rule = f"a sampler must learn from trials of a prior job; {show(name)} does not"
        learning = [other for other, each in SAMPLERS.items() if each.learns]
        yield Fault(rule, f"use {listed(learning, 'or')}, or remove warm_start", ("warm_start",))
    if len(objectives) > 1 and row.single:
        rule = f"{name} must have one objective"
        yield Fault(rule, "use tpe, nsgaii or nsgaiii, or write [value]", ("objectives",))


def scoring_faults(arms: Sequence[Arm]) -> Iterator[Fault]:
    """Yield the first arm that is not scored as those before it: with a carried state, or without.

    The fault's path is its number.
    """
    odd = [number for number, arm in enumerate(arms) if arm.carries != arms[0].carries]
    if odd:
        rule = "all arms must be scored alike: with carry_state never, or all without it"
        yield Fault(rule, "write carry_state in training, for all arms", (odd[0],))


def _numeric_fault(name: str, arm: Arm) -> Fault | None:
    """Return why a sampler of numbers cannot search an arm."""
    domains = arm.domains()
    chosen = [key for key, domain in domains.items() if isinstance(domain, Choices)]
    if arm.pooled:
        rule = f"an arm must have one cell for {name}; arm {arm.name} has several"
        return Fault(rule, "use tpe, or make every cell an arm of its own", _PLACE)
    if chosen:
        rule = f"an arm must have ranges of numbers for {name}; arm {arm.name} has choices of "
        remedy = "write them as {low: …, high: …} or as one value, or use tpe"
        return Fault(rule + listed(chosen), remedy, _PLACE)
    if len(domains) < 2:
        rule = f"an arm must have two ranges or more for {name}; arm {arm.name} has {len(domains)}"
        return Fault(rule, "search more of the space, or use tpe", _PLACE)
    return None


def _finite_fault(name: str, arm: Arm) -> Fault | None:
    """Return why a sampler that lists all values cannot search an arm."""
    endless = [
        key
        for key, domain in arm.domains().items()
        if isinstance(domain, Range) and not domain.integer
    ]
    if not endless:
        return None
    rule = f"{name} must have finite domains; arm {arm.name} has others: {listed(endless)}"
    return Fault(rule, "write them as {choices: […]} or as one value, or use tpe", _PLACE)


def limit_faults(arm: Arm, most: int) -> Iterator[Fault]:
    """Yield a fault where no model of an arm, bound to a task, is within a limit of parameters."""
    assert arm.sizes is not None
    least, answers = smallest(arm, *arm.sizes)
    if least > most:
        of = ", ".join(f"{name} {show(value)}" for name, value in answers.items())
        rule = (
            f"the smallest model of arm {arm.name} must have at most {most:,} parameters; "
            f"it has {least:,}" + (f" ({of})" if of else "")
        )
        remedy = f"raise the limit to {least:,} or more, or let the space include smaller ones"
        yield Fault(rule, remedy, ("search", "constraints", "parameters"))


def memory_fault(arm: Arm, available: int) -> Fault | None:
    """Return the fault of a size that an arm, bound to a task, may choose and no memory holds.

    available: bytes of memory of a worker. The fault's path starts with a key of the arm's space.
    What is counted is the least that the smallest model of that size takes: one that is let through
    may still be too large.
    """
    assert arm.sizes is not None
    for name, value in [(None, 0), *largest_values(arm).items()]:
        given = {} if name is None else {name: value}
        count, answers = smallest(arm, *arm.sizes, given)
        depth = answers.get("depth", given.get("depth", _fixed_depth(arm)))
        needed = BYTES_A_PARAMETER * count + BYTES_A_LAYER * depth
        if needed <= available:
            continue
        whose = f"the smallest model of arm {arm.name}"
        whose += "" if name is None else f" with {name} {_brief(value)}"
        rule = (
            f"{whose} must fit into the {readable(available)} of memory here; its "
            f"{_brief(count)} parameters and their gradients take {readable(needed)}"
        )
        size = "depth" if BYTES_A_LAYER * depth > available else "hidden_size"
        remedy = "write smaller numbers, or run the job where there is more memory"
        return Fault(rule, remedy, (name or ("parameters" if arm.budget else size),))
    return None


def _fixed_depth(arm: Arm) -> int:
    domain = arm.space["depth"]
    return int(domain.value) if isinstance(domain, Fixed) else 1  # type: ignore[arg-type]


def _brief(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"10^{int(math.log10(number))}"
