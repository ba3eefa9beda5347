"""What a pruner decides of a trial, and what it must be able to do."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum

from optuna.trial import FrozenTrial

Attributes = dict[str, float]


class Decision(Enum):
    """What becomes of a trial after a value."""

    CONTINUE = "continue"
    #: It waits with its checkpoint until the pruner has it go on, or the budget ends.
    PAUSE = "pause"
    STOP = "stop"


class Pruner(ABC):
    """Decides for one arm whether a trial goes on."""

    @abstractmethod
    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Return what becomes of a trial after its latest value, and attributes to store with it.

        A trial is judged after every value; it has one.
        """

    @abstractmethod
    def report_epochs(self, last: int) -> list[int] | None:
        """Return the epochs before the last after which a trial may not go on; None: every one.

        Workers report there at the latest.
        """

    def restore(self, trials: Iterable[FrozenTrial]) -> None:
        """Take in the trials of a journal that is opened again; paused ones are told of later."""
        for trial in trials:
            if trial.state.is_finished():
                self.ended(trial)

    def ended(self, trial: FrozenTrial) -> None:  # noqa: B027 (not every pruner learns from it)
        """Take in that a trial has ended."""

    # Of pruners that pause

    def paused(self, number: int) -> None:  # noqa: B027
        """Take in that a trial is paused."""

    def thawed(self, number: int) -> None:  # noqa: B027
        """Take in that a paused trial goes on."""

    def next_thaw(self) -> int | None:
        """Return the paused trial that is to go on before a new one begins, if there is one."""
        return None
