"""Which samplers search which spaces, and whether an arm can meet a limit of parameters.

Both are checked before anything starts, without importing a sampler.
"""

from collections.abc import Iterable, Iterator, Sequence

from spaces.arms import Arm
from spaces.domains import Choices, Range
from spaces.fields import Fault
from spaces.min_size import smallest
from spaces.text import listed, show

#: Samplers that learn from trials which another job has made.
LEARNERS = ("tpe", "gp", "cmaes")


def sampler_faults(
    name: str, objectives: Sequence[str], warm: bool, arms: Iterable[Arm]
) -> Iterator[Fault]:
    """Yield why the sampler cannot search the arms' spaces, and which settings it cannot use."""
    place = ("sampler",)
    for arm in arms:
        domains = arm.domains()
        if name == "cmaes" and arm.pooled:
            rule = f"an arm must have one cell for cmaes; arm {arm.name} has several"
            yield Fault(rule, "use tpe, or make every cell an arm of its own", place)
            continue
        chosen = [key for key, domain in domains.items() if isinstance(domain, Choices)]
        endless = [
            key
            for key, domain in domains.items()
            if isinstance(domain, Range) and not domain.integer
        ]
        if name == "cmaes" and chosen:
            rule = f"an arm must have ranges of numbers for cmaes; arm {arm.name} has choices of "
            remedy = "write them as {low: …, high: …} or as one value, or use tpe"
            yield Fault(rule + listed(chosen), remedy, place)
        elif name == "cmaes" and len(domains) < 2:
            rule = (
                f"an arm must have two ranges or more for cmaes; arm {arm.name} has {len(domains)}"
            )
            yield Fault(rule, "search more of the space, or use tpe", place)
        elif name == "brute-force" and endless:
            rule = f"brute-force must have finite domains; arm {arm.name} has others: "
            remedy = "write them as {choices: […]} or as one value, or use tpe"
            yield Fault(rule + listed(endless), remedy, place)
    if warm and name not in LEARNERS and "." not in name:
        rule = f"a sampler must learn from trials of a prior job; {show(name)} does not"
        yield Fault(rule, f"use {listed(LEARNERS, 'or')}, or remove warm_start", ("warm_start",))
    if len(objectives) > 1 and name == "cmaes":
        rule = "cmaes must have one objective"
        yield Fault(rule, "use tpe, nsgaii or nsgaiii, or write [value]", ("objectives",))


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
