"""What an arm's control trials found: its only fair sample, drawn at random and never stopped."""

from collections.abc import Iterable, Sequence

from search.journal.trial import TrialResult


def control_values(
    search: Sequence[TrialResult], arms: Iterable[str]
) -> dict[str, list[float | None]]:
    """Return the validation values of each arm's control trials in order of their numbers.

    None is one that diverged: it is worse than any value, and without it the sample would flatter
    the arm. Missing are those that still run, that failed through no fault of their own, that an
    earlier version cut short for a budget, and that a limit of latency kept out.
    """
    found: dict[str, list[float | None]] = {arm: [] for arm in arms}
    for trial in sorted(search, key=lambda trial: trial.number):
        if not trial.control or trial.phase != "search":
            continue
        if trial.state == "diverged":
            found[trial.arm].append(None)
        elif trial.state == "complete" and trial.value is not None:
            found[trial.arm].append(trial.value)
    return found
