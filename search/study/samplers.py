"""Optuna's samplers by name, created anew for every suggestion.

A sampler's randomness comes from a seed of the suggestion, and its knowledge from the study: a
resumed job therefore suggests what an undisturbed one would have suggested.

    tpe           sees a window of trials, since its cost grows with them
    gp            sees a window too, with estimates in place of pruned trials' values, since it
                  would ignore these trials
    random        sees nothing
    freeze-thaw   is search/study/freeze_thaw.py, which reads all curves
    cmaes         is search/study/cma.py, since Optuna's stores pickles in the study
    all others    see everything, whatever it costs them; nsgaii and nsgaiii learn from complete
                  trials alone
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

from search.job.samplers import optuna_name
from search.job.spec import JobSpec
from search.study.sampler_storage import SuggestionStorage
from search.study.sampling import draw
from search.study.seeds import derive_seed
from spaces.arms import Arm
from spaces.domains import Fixed
from spaces.errors import InputError

#: Which of an arm's trials a sampler is shown; complete: a window with pruned trials estimated.
Visibility = Literal["window", "complete", "whole", "nothing"]

#: Samplers that suggest within milliseconds, however many trials there are.
QUICK = frozenset({"tpe", "random", "cmaes", "freeze-thaw"})

_REMEDY = "use tpe, random, gp, a class of optuna.samplers, or package.module.Class"


@dataclass(frozen=True)
class Choice:
    """A sampler for one suggestion, and which of the arm's trials it is shown."""

    sampler: BaseSampler
    visibility: Visibility


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
            case "random" | "cmaes" | "freeze-thaw":  # random is what replaces repeats of a model
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
                # In a pooled arm, parameters that only some cells have are drawn at random.
                gp = GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
                return Choice(gp, "complete")
            case "nsgaii":
                return Choice(NSGAIISampler(seed=seed, population_size=population), "whole")
            case "nsgaiii":
                return Choice(NSGAIIISampler(seed=seed, population_size=population), "whole")
            case "qmc":
                # An arm has one scrambled sequence, of which every suggestion takes the next point.
                sequence = derive_seed(job.search.seed, arm, "sequence")
                qmc = QMCSampler(
                    seed=sequence,
                    scramble=True,
                    independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
                return Choice(qmc, "whole")
            case name:
                return Choice(_named(optuna_name(name), seed), "whole")


def _startup(arm: Arm, trials: int) -> int:
    """Return how many trials are drawn at random before a model suggests.

    One more than there are parameters to choose, as in BOHB (Falkner, Klein & Hutter 2018), but no
    more than a quarter of a small budget: Optuna's default of 10 could be all trials of a job.
    """
    free = sum(not isinstance(domain, Fixed) for domain in arm.space.values())
    return max(3, min(free + (len(arm.cells) > 1) + 1, trials // 4))


def uniform(seed: int) -> Choice:
    """Return the sampler of control trials, and of what replaces a model's repeats."""
    return Choice(RandomSampler(seed=seed), "nothing")


def check_sampler(job: JobSpec) -> None:
    """Let the job's sampler make one suggestion for each arm. Raises InputError where it cannot.

    For users' own samplers, of which nothing else is known before a job starts.
    """
    for arm in job.arms:
        sampler = choose(job, arm.name, 0).sampler
        directions = [StudyDirection.MINIMIZE] * len(job.search.objectives)
        storage = SuggestionStorage(arm.name, directions, [], 0, {})
        try:
            draw(arm, storage.ask(sampler), {})
        except Exception as error:  # any exception would end the job later
            name = job.search.sampler
            rule = (
                f"the sampler {name!r} must suggest configurations for arm {arm.name}, "
                f"but raised {type(error).__name__}: {error}"
            )
            raise InputError.of("search.sampler", rule, _REMEDY) from error


def _named(name: str, seed: int) -> BaseSampler:
    """Return a sampler by its class's name in optuna.samplers, or by dotted name."""
    module, _, attribute = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module or "optuna.samplers"), attribute)
    except (ImportError, AttributeError) as error:
        rule = f"the sampler {name!r} must exist"
        raise InputError.of("search.sampler", rule, _REMEDY) from error
    if not (isinstance(cls, type) and issubclass(cls, BaseSampler)):
        rule = f"{name!r} must be a sampler of Optuna's kind, a subclass of BaseSampler"
        raise InputError.of("search.sampler", rule, _REMEDY)
    try:
        return cls(seed=seed)  # type: ignore[call-arg]
    except (TypeError, ImportError) as error:
        rule = f"the sampler {name!r} must need no argument but seed: {error}"
        raise InputError.of("search.sampler", rule, _REMEDY) from error
