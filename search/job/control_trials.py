"""How many trials of a search are controls: drawn at random, never stopped, alike in all arms."""

CONTROLS = 12  #: the fewest from which the best of n, or working learning rates, are told
TRIALS_EACH = 4  #: of an arm, for each of its control trials


def usual_share(trials: int | None) -> float:
    """Return the share of control trials of a search by so many trials, if its file names none.

    No verdict needs them, and each costs as many epochs as several trials that may be stopped: six
    of the quickstart's 24 took half of its epochs. So there are as many as figures take that are
    told from them alone, where these are at most a quarter of the trials, and none otherwise.
    trials: None where the budget is in epochs or seconds.
    """
    if trials is None or trials < CONTROLS * TRIALS_EACH:
        return 0.0
    return CONTROLS / trials
