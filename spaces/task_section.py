"""What every task of a job file has: its seed, and the metric that decides the job."""

from typing import Self

from pydantic import Field, model_validator

from spaces.fields import Fault, Integer, Section, Text, refusal
from spaces.kinds import METRICS, Metric, TaskKind, carries_state, has_classes, is_causal
from spaces.text import listed, show, suggestion


class TaskSection(Section):
    """What every task of a job file has."""

    seed: Integer = Field(
        0, ge=0, description="Fixes the split and, where there is one, the generator of the data."
    )
    metric: Text | None = Field(
        None, description="The metric that decides the job; null is the default of the task's kind."
    )

    @property
    def of_kind(self) -> TaskKind:
        """The task's kind, whether it is built in or the user's own."""
        raise NotImplementedError

    @property
    def causal(self) -> bool:
        """Whether a model must not see the future (next-token and next-step tasks)."""
        return is_causal(self.of_kind)

    @property
    def classes(self) -> bool:
        """Whether a training may weigh classes."""
        return has_classes(self.of_kind)

    @property
    def carries_state(self) -> bool:
        """Whether a state may go on from one sequence to the next."""
        return carries_state(self.of_kind)

    @property
    def label(self) -> str:
        """The task's name in tables: the built-in name, or the stem of the user's file."""
        raise NotImplementedError

    @property
    def offered_metrics(self) -> tuple[Metric, ...]:
        """The metrics that may decide the job, the default one first."""
        return METRICS[self.of_kind]

    @property
    def chosen_metric(self) -> Metric:
        """The metric that decides the job."""
        offered = self.offered_metrics
        return next((m for m in offered if m.name == self.metric), offered[0])

    @model_validator(mode="after")
    def _check_metric(self) -> Self:
        names = [metric.name for metric in self.offered_metrics]
        if self.metric is not None and self.metric not in names:
            rule = f"the metric of a {self.of_kind} task must be "
            rule += f"{listed(names, 'or')}, not {show(self.metric)}"
            raise refusal([Fault(rule, suggestion(self.metric, names), ("metric",))])
        return self
