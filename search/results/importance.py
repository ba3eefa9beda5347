"""Which hyperparameters the spread of an arm's values comes from (fANOVA, by Optuna).

Functional ANOVA of a random forest fitted to the complete trials (Hutter, Hoos, Leyton-Brown, ICML
2014). The share of one parameter is repeated on random subsets of the trials, since a few dozen
trials leave it uncertain, and a single number would not show that.
"""

import random
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.journal.trial import TrialResult
from spaces.config import TrialConfig

#: With fewer complete trials than this a forest has nothing to learn from.
FEWEST = 8
#: The forest's work grows with the square of the trials; more are sampled evenly.
MOST = 96
_SUBSETS, _SHARE, _TREES = 6, 0.8, 24


@dataclass(frozen=True)
class Share:
    """One hyperparameter's share of the spread of values, between 0 and 1."""

    name: str
    mean: float  #: over random subsets of the trials
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Shares, largest first; or the reason why there are none."""

    trials: int  #: complete trials there are
    used: int  #: those that the shares come from
    shares: tuple[Share, ...] = ()
    reason: str | None = None


def importance(records: Sequence[TrialResult]) -> Importance:
    """Return the importance of what varies over one arm's complete search trials."""
    complete = sorted(
        (each for each in records if each.state == "complete" and each.value is not None),
        key=lambda each: each.number,
    )
    names = varying([each.config for each in complete])
    number = len(complete)
    if number < FEWEST:
        return Importance(
            number, 0, reason=f"{number} complete trials are too few: {FEWEST} are needed"
        )
    if not names:
        return Importance(number, 0, reason="all complete trials have the same configuration")
    if len({each.value for each in complete}) == 1:
        return Importance(number, 0, reason="all complete trials have the same value")
    used = complete
    if number > MOST:
        used = [complete[index * number // MOST] for index in range(MOST)]
    drawn = random.Random(0)
    subsets = [
        drawn.sample(used, max(FEWEST - 2, round(_SHARE * len(used)))) for _ in range(_SUBSETS)
    ]
    found = [each for subset in subsets if (each := _shares(subset, names)) is not None]
    if not found:
        return Importance(number, 0, reason="the values differ too little for a model of them")
    shares = [_share(name, [each[name] for each in found]) for name in names]
    ordered = sorted(shares, key=lambda share: -share.mean)
    return Importance(number, len(used), tuple(ordered))


def varying(configs: Sequence[TrialConfig]) -> tuple[str, ...]:
    """Return the fields that differ between configurations."""
    return tuple(
        name
        for name in TrialConfig.model_fields
        if any(getattr(each, name) != getattr(configs[0], name) for each in configs)
    )


def _share(name: str, over_subsets: list[float]) -> Share:
    return Share(name, statistics.fmean(over_subsets), min(over_subsets), max(over_subsets))


def _shares(records: list[TrialResult], names: Sequence[str]) -> dict[str, float] | None:
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    configs = [each.config for each in records]
    inside = varying(configs)
    if not inside or len({each.value for each in records}) == 1:
        return None
    distributions = {
        name: _distribution([getattr(each, name) for each in configs]) for name in inside
    }
    # A study logs a line when it is made; this one is nobody's business.
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction=records[0].metric.direction)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: getattr(each.config, name) for name in inside},
                    distributions=distributions,
                    value=each.value,
                )
                for each in records
            ]
        )
        evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's remarks are about its own forest
            shares = get_param_importances(study, evaluator=evaluator)
    except RuntimeError:  # every tree came out without a split
        return None
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(shares.get(name, 0.0)) for name in names}


def _distribution(values: list[Any]) -> Any:
    """Return a distribution that holds the values; wide positive ones by their logarithm."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if any(not isinstance(each, int | float) or isinstance(each, bool) for each in values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    low, high = min(values), max(values)
    log = low > 0 and high >= 10 * low
    if all(isinstance(each, int) for each in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)
