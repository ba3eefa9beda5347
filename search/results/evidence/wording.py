"""A verdict as one sentence that needs no other beside it."""

from collections.abc import Sequence

from search.results import format
from search.results.evidence.needed import MOST, StillNeeded
from search.results.evidence.verdict import Design, PairVerdict, Verdict
from spaces.text import listed

#: What a replicate of each design speaks of: the beginning of the sentence.
_SCOPE: dict[Design, str] = {
    "nested": "On new splits of data like this, after a search of this size, ",
    "splits": "On new divisions of this data into training and validation parts, ",
    "seeds": "With fresh seeds, ",
    "given": "In further results made like these, ",
}
#: What it says nothing of: the end of the sentence.
_LIMIT: dict[Design, str] = {
    "nested": "",
    "splits": "; this speaks of these configurations, not of cells",
    "seeds": "; this speaks of these configurations on this one split, not of cells",
    "given": "",
}
_NAMED = 8  # arms that a sentence names
_INTERVALS = 6  # pairs of arms of which such a sentence gives the interval
_LISTED = 2  # pairs of arms of which a sentence gives the figures


def sentence(verdict: Verdict, remedy: str) -> str:
    """Return what a verdict says, in one sentence.

    remedy: what to do where nothing can be compared.
    """
    match verdict.kind:
        case "none":
            return f"No verdict: {remedy or 'no two arms have replicates in common'}."
        case "nothing-learned":
            names = [f"{name} ({format.value(v)})" for name, v in verdict.baselines.items()]
            return (
                "Nothing learned: no arm is shown to beat the trivial prediction by more than "
                f"{amount(verdict)}; it is {listed(names, 'or')}, and which arm is better "
                "means nothing."
            )
        case "too-easy":
            return (
                f"Too easy to tell: every arm is within {amount(verdict)} of the best "
                "that there can be, and harder data would be needed to tell them apart."
            )
        case "decided" if verdict.winner is not None:
            return _about(verdict, verdict.winner)
        case "decided":
            return _equal(verdict)
        case "undecided":
            return _open(verdict)


def arms(names: Sequence[str]) -> str:
    """Return some arms' names, or of many arms their number."""
    return listed(names) if len(names) <= _NAMED else f"{len(names)} arms"


def amount(verdict: Verdict) -> str:
    """Return the margin with its metric: "0.01 in accuracy", "2 % in mse"."""
    return f"{verdict.margin} in {verdict.metric}"


def needed(found: StillNeeded) -> str:
    """Return how many more pairs are needed, with the range, as a clause."""
    if found.estimate is None:
        return f"more than {MOST:,} more pairs are needed"
    pairs = format.plural(found.estimate, "more pair")
    are = "is" if found.estimate == 1 else "are"
    return f"about {pairs} {are} needed ({_range(found)})"


def needed_range(found: StillNeeded) -> str:
    """Return how many more pairs are needed, with the range, in a table's cell."""
    if found.estimate is None:
        return f"over {MOST:,}"
    return f"{found.estimate:,} ({_range(found, '–')})"


def decision(pair: PairVerdict) -> str:
    """Return what is decided about a pair of arms, in a table's cell."""
    if pair.still_needed is not None:
        return f"needs {needed_range(pair.still_needed)}"
    return f"{pair.winner} better" if pair.winner else pair.decision


def variance(verdict: Verdict) -> str | None:
    """Return what the results vary with, as a sentence; None where nothing is known of it."""
    named = {
        "split": verdict.variance.split,
        "arm x split": verdict.variance.arm_split,
        "configuration": verdict.variance.configuration,
        "seed": verdict.variance.seed,
    }
    known = [f"{name} {format.value(v**0.5)}" for name, v in named.items() if v is not None]
    if not known:
        return None
    text = f"What results vary with, as standard deviations: {listed(known)}"
    if verdict.variance.split is not None and verdict.variance.seed is None:
        text += "; with one training a split, an arm's own splits and its seeds are not told apart"
    return f"{text}."


def beside(verdict: Verdict) -> list[str]:
    """Return other intervals of the mean differences, each kind as a sentence; for one look."""
    pairs = [pair.seen_from(pair.leader) for pair in verdict.pairs]
    kinds = (
        (
            "Splits that are dealt from the same data overlap. Allowing for it (Nadeau and Bengio "
            "2003), mean differences and intervals are, at one look: ",
            [(pair, pair.sensitivity_interval) for pair in pairs],
        ),
        (
            "All splits have the same test part. With its examples resampled too "
            "(cross-bootstrap, Owen 2007), mean differences and intervals are, at one look: ",
            [(pair, pair.resampled_interval) for pair in pairs],
        ),
    )
    return [
        f"{opening}{listed(shown)}."
        for opening, own in kinds
        if (shown := [_interval(p, i) for p, i in own if i is not None][:_INTERVALS])
    ]


def _interval(pair: PairVerdict, interval: tuple[float, float]) -> str:
    mean = format.signed(pair.difference)
    return f"{pair.first} − {pair.second} {mean} ({format.bounds(*interval)})"


def _range(found: StillNeeded, to: str = " to ") -> str:
    high = f"over {MOST:,}" if found.high is None else f"{found.high:,}"
    return f"{found.low:,}{to}{high}"


def _about(verdict: Verdict, winner: str) -> str:
    """The best arm, against those that it was shown better than."""
    pairs = [pair.seen_from(winner) for pair in verdict.pairs if pair.winner == winner]
    if len(pairs) > _LISTED:
        others = arms([pair.second for pair in pairs])
        said = f"{winner} is better than {others}; {_closest(verdict, pairs)}"
    else:
        said = listed(_beats(verdict, pair, first=pair is pairs[0]) for pair in pairs)
    return f"{_SCOPE[verdict.design]}{said}{_LIMIT[verdict.design]}."


def _equal(verdict: Verdict) -> str:
    lost = arms(list(dict.fromkeys(pair.loser for pair in verdict.pairs if pair.loser)))
    rest = f", and better than {lost}" if lost else ""
    said = f"{arms(verdict.best)} are equivalent{rest}; {_closest(verdict, _among(verdict))}"
    return f"{_SCOPE[verdict.design]}{said}{_LIMIT[verdict.design]}."


def _open(verdict: Verdict) -> str:
    pairs = [pair for pair in _among(verdict) if pair.decision == "inconclusive"]
    rivals = [arm for arm in verdict.best if any(arm in (p.first, p.second) for p in pairs)]
    longest = max(
        (pair.still_needed for pair in pairs if pair.still_needed is not None),
        key=lambda found: MOST + 1 if found.estimate is None else found.estimate,
    )
    return (
        f"{_SCOPE[verdict.design]}it cannot be told yet which of {arms(rivals)} is best; "
        f"{_closest(verdict, pairs)}; {needed(longest)}{_LIMIT[verdict.design]}."
    )


def _among(verdict: Verdict) -> list[PairVerdict]:
    """The pairs of the best arms."""
    return [p for p in verdict.pairs if p.first in verdict.best and p.second in verdict.best]


def _closest(verdict: Verdict, pairs: list[PairVerdict]) -> str:
    """Say how often the one of two arms beats the other; of several pairs, of the most even one."""
    closest = min(pairs, key=lambda pair: abs(pair.probability - 0.5))
    opening = "closest, " if len(pairs) > 1 else ""
    return f"{opening}{_beats(verdict, closest.seen_from(closest.leader), first=True)}"


def _beats(verdict: Verdict, pair: PairVerdict, *, first: bool) -> str:
    """Say how often the first arm of a pair beats the second. first: the sentence's first pair."""
    margin = f" by more than {amount(verdict)}" if first else ""
    low, high = pair.interval
    confidence = f"{100 * verdict.confidence:g} % interval " if first else ""
    ties = f", {format.plural(pair.ties, 'tie')} counted half" if pair.ties else ""
    figures = f"{confidence}{100 * low:.0f} to {100 * high:.0f} %"
    figures += f"; {format.plural(pair.pairs, 'pair')}{ties}"
    if pair.difference is not None:
        figures += f"; mean difference {format.signed(pair.difference)}"
        if pair.difference_interval is not None:
            figures += f", {format.bounds(*pair.difference_interval)}"
    share = f"{100 * pair.probability:.0f} % of cases"
    return f"{pair.first} beats {pair.second}{margin} in {share} ({figures})"
