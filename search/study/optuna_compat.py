"""Names of Optuna's that are private or undocumented, in one place."""

from optuna.trial import TrialState

from search.journal.trial import State

LATENCY = "constraints:latency_ms"  #: Optuna's name for an attribute that is a constraint

#: How a trial's end is told to Optuna; see arm_study.py for why.
END_STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
