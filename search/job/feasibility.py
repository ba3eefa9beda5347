"""Which samplers search which spaces, and whether a limit of parameters can be kept.

Told before anything starts, and without importing a sampler.
"""

from collections.abc import Iterable, Iterator, Sequence

from spaces.arms import Arm
from spaces.domains import Choices, Range
from spaces.fields import Fault
from spaces.min_size import smallest
from spaces.text import listed, show

#: Those that learn from trials which they have not suggested themselves.
LEARNERS = ("tpe", "gp", "cmaes")


def sampler_faults(
    name: str, objectives: Sequence[str], warm: bool, arms: Iterable[Arm]
) -> Iterator[Fault]:
    """Yield what keeps the sampler from searching the arms' spaces, and what it cannot use."""
    place = ("sampler",)
    for arm in arms:
        domains = arm.domains()
        if name == "cmaes" and arm.pooled:
            rule = f"cmaes cannot choose between cells, and arm {arm.name} has several"
            yield Fault(rule, "use tpe, or make every cell an arm of its own", place)
            continue
        chosen = [key for key, domain in domains.items() if isinstance(domain, Choices)]
        endless = [
            key
            for key, domain in domains.items()
            if isinstance(domain, Range) and not domain.integer
        ]
        if name == "cmaes" and chosen:
            rule = f"cmaes searches ranges of numbers, and arm {arm.name} has choices of "
            remedy = "write them as {low: …, high: …} or as one value, or use tpe"
            yield Fault(rule + listed(chosen), remedy, place)
        elif name == "cmaes" and len(domains) < 2:
            rule = f"cmaes needs two ranges or more, and arm {arm.name} has {len(domains)}"
            yield Fault(rule, "search more of the space, or use tpe", place)
        elif name == "brute-force" and endless:
            rule = f"brute-force lists a space, and in arm {arm.name} {listed(endless)} is endless"
            yield Fault(rule, "write it as {choices: […]} or as one value, or use tpe", place)
    if warm and name not in LEARNERS and "." not in name:
        rule = f"the sampler {show(name)} learns nothing from trials of a former job"
        yield Fault(rule, f"use {listed(LEARNERS, 'or')}, or leave out warm_start", ("warm_start",))
    if len(objectives) > 1 and name == "cmaes":
        rule = "cmaes has one objective only"
        yield Fault(rule, "use tpe, nsgaii or nsgaiii, or keep to [value]", ("objectives",))


def limit_faults(arm: Arm, most: int) -> Iterator[Fault]:
    """Yield what keeps an arm, bound to a task, from keeping a limit of parameters."""
    assert arm.sizes is not None
    least, answers = smallest(arm, *arm.sizes)
    if least > most:
        of = ", ".join(f"{name} {show(value)}" for name, value in answers.items())
        rule = (
            f"no model of arm {arm.name} has at most {most:,} parameters: "
            f"the smallest has {least:,}" + (f" ({of})" if of else "")
        )
        remedy = f"raise the limit to {least:,} or more, or let the space include smaller ones"
        yield Fault(rule, remedy, ("search", "constraints", "parameters"))
