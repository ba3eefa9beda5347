"""Which hyperparameters explain the spread of an arm's values (fANOVA, by Optuna).

Functional ANOVA of a random forest fitted to the complete trials (Hutter, Hoos, Leyton-Brown, ICML
2014). Each share is computed on several random subsets of the trials: a few dozen trials leave it
uncertain, and a single number would not show that.
"""

import random
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.journal.trial import TrialResult
from search.results.settings import varying

#: With fewer complete trials a forest has nothing to learn from.
MIN_TRIALS = 8
#: The forest's cost grows with the square of the trials; of more than these, some are left out.
MAX_TRIALS = 96
_SUBSETS = 6
_SUBSET_SHARE = 0.8  #: of the trials, in each subset
_TREES = 24


@dataclass(frozen=True)
class Share:
    """One hyperparameter's share of the variance of values, between 0 and 1."""

    name: str
    mean: float  #: over random subsets of the trials, as are low and high
    low: float
    high: float


@dataclass(frozen=True)
class Importance:
    """Shares, largest first; or the reason why there are none."""

    trials: int  #: complete trials
    used: int  #: trials that the shares are computed from
    shares: tuple[Share, ...] = ()
    reason: str | None = None


def importance(trials: Sequence[TrialResult]) -> Importance:
    """Return the importance of the hyperparameters that vary over one arm's complete trials.

    trials: of the arm's search phase.
    """
    complete = sorted(
        (trial for trial in trials if trial.state == "complete" and trial.value is not None),
        key=lambda trial: trial.number,
    )
    names = varying([trial.config for trial in complete])
    number = len(complete)
    if number < MIN_TRIALS:
        reason = f"{number} complete trials are too few: {MIN_TRIALS} are needed"
        return Importance(number, 0, reason=reason)
    if not names:
        return Importance(number, 0, reason="all complete trials have the same configuration")
    if len({trial.value for trial in complete}) == 1:
        return Importance(number, 0, reason="all complete trials have the same value")
    used = complete
    if number > MAX_TRIALS:
        used = [complete[index * number // MAX_TRIALS] for index in range(MAX_TRIALS)]
    generator = random.Random(0)
    size = max(MIN_TRIALS - 2, round(_SUBSET_SHARE * len(used)))
    subsets = [generator.sample(used, size) for _ in range(_SUBSETS)]
    found = [shares for subset in subsets if (shares := _shares(subset, names)) is not None]
    if not found:
        return Importance(number, 0, reason="the values differ too little for a model of them")
    shares_by_name = [_share(name, [shares[name] for shares in found]) for name in names]
    ordered = sorted(shares_by_name, key=lambda share: -share.mean)
    return Importance(number, len(used), tuple(ordered))


def _share(name: str, over_subsets: list[float]) -> Share:
    return Share(name, statistics.fmean(over_subsets), min(over_subsets), max(over_subsets))


def _shares(trials: list[TrialResult], names: Sequence[str]) -> dict[str, float] | None:
    """Return each hyperparameter's share in some trials, or None where no model can be fitted."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    configs = [trial.config for trial in trials]
    varied = varying(configs)
    if not varied or len({trial.value for trial in trials}) == 1:
        return None
    distributions = {
        name: _distribution([getattr(config, name) for config in configs]) for name in varied
    }
    # Optuna logs every new study, and this one means nothing to the user.
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction=trials[0].metric.direction)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params={name: getattr(trial.config, name) for name in varied},
                    distributions=distributions,
                    value=trial.value,
                )
                for trial in trials
            ]
        )
        evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's warnings concern its own forest
            shares = get_param_importances(study, evaluator=evaluator)
    except RuntimeError:  # no tree has a split
        return None
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {name: float(shares.get(name, 0.0)) for name in names}


def _distribution(values: list[Any]) -> Any:
    """Return a distribution that contains the values; logarithmic for a wide positive range."""
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
