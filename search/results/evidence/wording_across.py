"""What several tasks say about two arms, as a sentence."""

from collections.abc import Sequence

from search.results import format
from search.results.evidence.across import FEWEST, AcrossPair, OnTask
from search.results.evidence.ranks import least_tasks
from search.results.evidence.wording import arms
from spaces.text import listed

_LISTED = 8  # tasks whose P a sentence gives


def headline(pairs: Sequence[AcrossPair], tasks: int) -> str:
    """Return what the tasks say about all pairs of arms, in one sentence.

    pairs: with their sentences; at least one. tasks: how many there are.
    """
    if len(pairs) == 1:
        return pairs[0].sentence
    claims: list[str] = []
    for winner in dict.fromkeys(pair.winner for pair in pairs if pair.winner is not None):
        losers = arms([_other(pair) for pair in pairs if pair.winner == winner])
        claims.append(f"{winner} is better than {losers}")
    same = [f"{p.first} and {p.second}" for p in pairs if p.decision == "equivalent"]
    if same:
        pairs_of_arms = listed(same) if len(same) <= _LISTED else f"{len(same)} pairs of arms"
        claims.append(f"{pairs_of_arms} are equivalent")
    open_pairs = sum(pair.decision in ("inconclusive", None) for pair in pairs)
    if claims:
        rest = format.plural(open_pairs, "pair")
        claims += [f"of {rest} of arms it cannot be told yet"] if open_pairs else []
        return f"On further tasks like these {tasks}, {'; '.join(claims)}."
    if any(pair.decision is not None for pair in pairs):
        return (
            f"On further tasks like these {tasks}, it cannot be told yet which arm is better; what "
            f"each pair of arms shows on these stands below."
        )
    return f"On these {tasks} tasks, each pair of arms shows what stands below.{_limit(pairs[0])}"


def sentence(pair: AcrossPair, pairs_of_arms: int, confidence: float) -> str:
    """Return what the tasks say about the two arms."""
    number = len(pair.tasks)
    on_further = f"On further tasks like these {number}, "
    match pair.decision:
        case "better":
            return (
                f"{on_further}{pair.winner} is better than {_other(pair)} by more than the margin "
                f"({_tests(pair)}); here, {_here(pair, confidence)}."
            )
        case "equivalent":
            return (
                f"{on_further}{pair.first} and {pair.second} are equivalent: the difference lies "
                f"within the margin ({_tests(pair)}); here, {_here(pair, confidence)}."
            )
        case "inconclusive":
            told = f"It cannot be told yet which of {pair.first} and {pair.second} is better on "
            told += f"further tasks like these {number}"
            if number < (least := least_tasks(pairs_of_arms, 1 - confidence)):
                told = f"{number} tasks are too few to tell which of {pair.first} and "
                told += f"{pair.second} is better on further ones: of {pairs_of_arms} pairs of "
                told += f"arms, that takes {least}"
            return f"{told} ({_tests(pair)}); here, {_here(pair, confidence)}."
        case None:
            return f"On these {number} tasks, {_here(pair, confidence)}{_each(pair)}.{_limit(pair)}"


def _other(pair: AcrossPair) -> str:
    return pair.second if pair.winner == pair.first else pair.first


def _tests(pair: AcrossPair) -> str:
    """Say how likely each answer is."""
    shares = pair.shares
    assert shares is not None
    answers = [
        (f"{pair.first} better", shares.first),
        ("within the margin", shares.same),
        (f"{pair.second} better", shares.second),
    ]
    if pair.probability < 0.5:
        answers.reverse()
    text = ", ".join(f"{answer} {format.probability(share)}" for answer, share in answers)
    return f"probabilities: {text}"


def _here(pair: AcrossPair, confidence: float) -> str:
    """Say how often one arm beats the other on average over these tasks."""
    low, high = pair.interval
    first, second, share = pair.first, pair.second, pair.probability
    if share < 0.5:
        first, second, share, low, high = second, first, 1 - share, 1 - high, 1 - low
    return (
        f"{first} beats {second} in {100 * share:.0f} % of cases on average over tasks "
        f"({100 * confidence:g} % interval {100 * low:.0f} to {100 * high:.0f} %)"
    )


def _each(pair: AcrossPair) -> str:
    """List the tasks, with how often the arm that is ahead wins on each."""
    if len(pair.tasks) > _LISTED:
        return ""
    ahead = pair.second if pair.probability < 0.5 else pair.first
    return f": {listed(_on(each, ahead) for each in pair.tasks)}"


def _on(each: OnTask, arm: str) -> str:
    return f"{100 * each.pair.seen_from(arm).probability:.0f} % on {each.task}"


def _limit(pair: AcrossPair) -> str:
    if len(pair.tasks) >= FEWEST:
        return ""
    return f" Nothing is claimed of other tasks: that takes results of {FEWEST} tasks or more."
