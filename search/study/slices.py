"""The pruner that pauses every trial after a slice; freeze_thaw.py says which one goes on."""

from optuna.trial import FrozenTrial

from search.study.decisions import Attributes, Decision, Pruner

FIRST = 3  #: epochs of a first slice, where trainings are long enough
GROWTH = 1.4  #: times as long is a curve after each further slice


class Slices(Pruner):
    """Pauses a trial at the end of every slice."""

    def __init__(self, last: int) -> None:
        """last: the epochs of a whole training."""
        self._ends = slice_ends(last)

    def judge(self, trial: FrozenTrial) -> tuple[Decision, Attributes]:
        """Pause a trial at the end of a slice."""
        return Decision.PAUSE if trial.last_step in self._ends else Decision.CONTINUE, {}

    def report_epochs(self, last: int) -> list[int]:
        """Return the ends of slices."""
        return self._ends


def slice_ends(last: int) -> list[int]:
    """Return the epochs before the last at which a slice ends."""
    epoch = max(1, min(FIRST, last // 9))
    ends = []
    while epoch < last:
        ends.append(epoch)
        epoch = max(epoch + 1, round(GROWTH * epoch))
    return ends
