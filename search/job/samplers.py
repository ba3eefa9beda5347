"""The table of samplers: their names in a job file, and what each demands of a search."""

import re
from dataclasses import dataclass

from spaces.fields import Fault, refusal
from spaces.text import show, suggestion


@dataclass(frozen=True)
class SamplerRow:
    """One of Optuna's samplers.

    optuna: its class in optuna.samplers; "" for one of ours.
    learns: whether it can learn from trials of a prior job.
    numeric: whether it demands arms of one cell with two ranges or more, and one objective.
    finite: whether it demands domains with finitely many values.
    single: whether it demands one objective.
    slices: whether it decides after every slice what goes on, so that no other pruner may.
    """

    optuna: str
    learns: bool = False
    numeric: bool = False
    finite: bool = False
    single: bool = False
    slices: bool = False


SAMPLERS = {
    "tpe": SamplerRow("TPESampler", learns=True),
    "freeze-thaw": SamplerRow("", single=True, slices=True),
    "random": SamplerRow("RandomSampler"),
    "gp": SamplerRow("GPSampler", learns=True),
    "cmaes": SamplerRow("CmaEsSampler", learns=True, numeric=True, single=True),
    "qmc": SamplerRow("QMCSampler"),
    "nsgaii": SamplerRow("NSGAIISampler"),
    "nsgaiii": SamplerRow("NSGAIIISampler"),
    "brute-force": SamplerRow("BruteForceSampler", finite=True),
}


def optuna_name(name: str) -> str:
    """Return the class in optuna.samplers, or the dotted name of the user's own class."""
    return SAMPLERS[name].optuna if name in SAMPLERS else name


def sampler_name(written: str) -> str:
    """Return the name of a sampler in its short form. Raises a refusal for an unknown one."""
    others = {row.optuna: short for short, row in SAMPLERS.items() if row.optuna} | {
        "cma-es": "cmaes"
    }
    if written in others:
        return others[written]
    dotted = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", written)
    if written not in SAMPLERS and not dotted:
        remedy = f"{suggestion(written, SAMPLERS)}, or package.module.Class of your own"
        raise refusal([Fault(f"must be a sampler, not {show(written)}", remedy)])
    return written
