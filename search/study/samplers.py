"""What is tried next: Optuna's samplers by name, made afresh for every suggestion.

A sampler's randomness comes from a seed of the suggestion's own, and what it knows from the study:
a resumed job therefore suggests what an undisturbed one would have.

    tpe           sees a window of trials, since its cost grows with them
    gp            sees a window too, with estimates in place of pruned trials' values: it would
                  pass them over
    random        sees nothing
    cmaes         is not Optuna's, which keeps pickles in the study: search/study/cma.py
    all others    see everything, at a cost that is their own; nsgaii and nsgaiii learn from
                  complete trials alone
"""

import importlib
import warnings
from dataclasses import dataclass
from typing import Literal

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection

from search.job.sections import SAMPLERS
from search.job.spec import JobSpec
from search.study.sampler_storage import SuggestionStorage
from search.study.sampling import draw
from search.study.seeds import derive_seed
from spaces.arms import Arm
from spaces.domains import Fixed
from spaces.errors import InputError

#: What of an arm's history a sampler is shown; complete: a window with pruned trials estimated.
Visibility = Literal["window", "complete", "whole", "nothing"]

#: Those that suggest within milliseconds, however many trials there are.
QUICK = frozenset({"tpe", "random", "cmaes"})

_REMEDY = "use tpe, random, gp, a class of optuna.samplers, or package.module.Class"


@dataclass(frozen=True)
class Choice:
    """A sampler for one suggestion, and how much of the arm's history it is shown."""

    sampler: BaseSampler
    sight: Visibility


def choose(job: JobSpec, arm: str, seed: int) -> Choice:
    """Return the job's sampler for one suggestion of an arm. Raises InputError for an unknown one.

    seed: of the suggestion.
    """
    trials = job.search.trials or 40
    startup = _startup(next(each for each in job.arms if each.name == arm), trials)
    population = min(50, max(8, trials // 8))
    with warnings.catch_warnings():
        # Grouping (needed where the cell decides which parameters there are) is experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        match job.search.sampler:
            case "random" | "cmaes":  # what CMA-ES leaves open is drawn at random
                return Choice(RandomSampler(seed=seed), "nothing")
            case "tpe":
                tpe = TPESampler(
                    n_startup_trials=startup,
                    multivariate=True,
                    group=True,
                    constant_liar=True,
                    seed=seed,
                )
                return Choice(tpe, "window")
            case "gp":
                # In a pooled arm, what only some cells have is drawn at random: no need to say so.
                gp = GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
                return Choice(gp, "complete")
            case "nsgaii":
                return Choice(NSGAIISampler(seed=seed, population_size=population), "whole")
            case "nsgaiii":
                return Choice(NSGAIIISampler(seed=seed, population_size=population), "whole")
            case "qmc":
                # One scrambled sequence an arm, of which every suggestion takes the next point.
                sequence = derive_seed(job.search.seed, arm, "sequence")
                qmc = QMCSampler(
                    seed=sequence,
                    scramble=True,
                    independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
                return Choice(qmc, "whole")
            case name:
                return Choice(_named(SAMPLERS.get(name, name), seed), "whole")


def _startup(arm: Arm, trials: int) -> int:
    """Return how many trials are drawn at random before a model is asked.

    One more than there are parameters to choose, as in BOHB (Falkner, Klein & Hutter 2018), but no
    more than a quarter of a small budget: Optuna's own 10 would be all of a time that ends early.
    """
    free = sum(not isinstance(domain, Fixed) for domain in arm.space.values())
    return max(3, min(free + (len(arm.cells) > 1) + 1, trials // 4))


def uniform(seed: int) -> Choice:
    """Return uniform draws, for control trials and for what a model cannot answer."""
    return Choice(RandomSampler(seed=seed), "nothing")


def check_sampler(job: JobSpec) -> None:
    """Let the job's sampler make one suggestion for each arm. Raises InputError where it cannot.

    For samplers of the user's own, of which nothing else is known before a job is begun.
    """
    for arm in job.arms:
        sampler = choose(job, arm.name, 0).sampler
        view = SuggestionStorage(
            arm.name, [StudyDirection.MINIMIZE] * len(job.search.objectives), [], 0, {}
        )
        try:
            draw(arm, view.ask(sampler), {})
        except Exception as error:  # whatever it is, it would end the job later
            name = job.search.sampler
            rule = f"{name!r} cannot suggest for arm {arm.name}: {type(error).__name__}: {error}"
            raise InputError.of("search.sampler", rule, _REMEDY) from error


def _named(name: str, seed: int) -> BaseSampler:
    """Return a sampler by its class's name in optuna.samplers, or by dotted name."""
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module or "optuna.samplers"), attribute)
    except (ImportError, AttributeError) as error:
        rule = f"there is no sampler {name!r}"
        raise InputError.of("search.sampler", rule, _REMEDY) from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSampler)):
        raise InputError.of("search.sampler", f"{name!r} is not an Optuna sampler", _REMEDY)
    try:
        return cls(seed=seed)  # type: ignore[call-arg]
    except (TypeError, ImportError) as error:
        rule = f"the sampler {name!r} cannot be made with a seed alone: {error}"
        raise InputError.of("search.sampler", rule, _REMEDY) from error
