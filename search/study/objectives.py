"""An arm's objectives as Optuna sees them: one, as the task measures it, or several to minimize."""

from collections.abc import Sequence

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study.optuna_compat import with_outcome
from spaces.kinds import Metric


class Objectives:
    """The objectives of one job.

    A journal's study has one objective, the metric. Where the job names several, samplers are shown
    copies of the ended trials whose values are all objectives, with signs by which less is better.
    """

    def __init__(self, names: Sequence[str], metric: Metric) -> None:
        """names: as in the job file, "value" first; the others are figures stored with trials."""
        self.figures = tuple(names[1:])
        self._metric = metric

    @property
    def several(self) -> bool:
        """Whether there is more than the metric."""
        return bool(self.figures)

    @property
    def directions(self) -> list[StudyDirection]:
        """The directions of what samplers are shown."""
        if self.several:
            return [StudyDirection.MINIMIZE] * (1 + len(self.figures))
        return [StudyDirection.MAXIMIZE if self._metric.maximize else StudyDirection.MINIMIZE]

    def values(self, trial: FrozenTrial) -> list[float] | None:
        """Return an ended trial's values, less is better, or None for one that lacks any."""
        if trial.state != TrialState.COMPLETE or trial.value is None:
            return None
        if not all(name in trial.user_attrs for name in self.figures):
            return None
        cost = self._metric.cost(trial.value)
        return [cost, *(float(trial.user_attrs[name]) for name in self.figures)]

    def shown(self, trial: FrozenTrial) -> FrozenTrial:
        """Return an ended trial as a study of several objectives has it.

        There, Optuna knows neither values nor a rank of pruned trials: they are the worst, and
        equally bad.
        """
        values = self.values(trial)
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        return with_outcome(trial, state, values)
