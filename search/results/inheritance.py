"""What a job has from former ones, and whether a warm start forbids a verdict."""

from collections.abc import Iterator

from search.journal.warm_start import LearnedRates, WarmStart
from search.results.format import count, plural
from search.results.read import Results
from spaces.text import listed

_NAMED = 5  #: former jobs that are named; the rest is counted

#: Numbers of inherited trials that differ by this factor or more are unequal chances.
UNEVEN = 1.1


def inherited(name: str, start: WarmStart | None) -> str:
    """Return the sentence that says from how many trials of a prior job each arm learned."""
    if start is None:
        return f"The search started warm from job {name}; what each arm learned was not recorded."
    first, *others = start.trials.items()
    each = [f"{first[0]} learned from {plural(first[1], 'trial')}"]
    each += [f"{arm} from {count(number)}" for arm, number in others]
    return f"The search started warm from job {name}: {listed(each)}."


def first_rates(results: Results) -> str | None:
    """Return the sentence that says with which learning rate each arm's first trial began, and why.

    None where no rate was known, where the job file gives it, and before any trial.
    """
    search, learned = results.job.search, results.learned_rates
    starts = search.start_from
    given = bool(starts) and "learning_rate" in starts[0].given()
    if search.prior == "none" or search.warm_start is not None or given:
        return None
    searched = {arm.name for arm in results.job.arms if "learning_rate" in arm.domains()}
    rates = {
        trial.arm: trial.config.learning_rate
        for trial in results.search
        if trial.number == 0 and not trial.control and trial.arm in searched
    }
    if not rates:
        return None
    shown = listed(f"{arm} {rates[arm]:.2g}" for arm in results.arms if arm in rates)
    source = "the literature"
    if learned is not None and learned.jobs:
        source += f" and {plural(len(learned.jobs), 'former job')} of this root"
    begun = "The first trial of each arm had the learning rate of its space that is nearest to "
    begun += f"what {source} found good for its cell, size and optimizer: {shown}."
    return begun if learned is None else f"{begun} {learned_from(learned)}"


def learned_from(learned: LearnedRates) -> str:
    """Return the sentence that says what former jobs said of learning rates, and which did not."""
    left = []
    if learned.unequal:
        left.append(
            f"{plural(learned.unequal, 'former job')} that said something of some of the "
            "arms' cells alone"
        )
    if learned.overlapping:
        left.append(
            f"{plural(learned.overlapping, 'former job')} that may have trained on what is "
            "test data here"
        )
    out = f" Left out: {listed(left)}." if left else ""
    if not learned.jobs:
        return f"No former job of this root said enough of all arms' cells to learn from.{out}"
    names = [*learned.jobs[:_NAMED]]
    if more := len(learned.jobs) - len(names):
        names.append(f"{more} more")
    moved = listed(f"{cell} {10**each:.2g}" for cell, each in learned.decades.items())
    return (
        f"What the literature has was multiplied by what all arms learned from {listed(names)}: "
        f"{moved}.{out}"
    )


def objections(results: Results) -> tuple[str, ...]:
    """Return why a job that started warm allows no verdict between its arms; mostly nothing.

    Under the nested design nothing follows from the search, so that nothing can be wrong with it.
    """
    return tuple(_objections(results))


def _objections(results: Results) -> Iterator[str]:
    name, start = results.job.search.warm_start, results.warm_start
    if name is None or results.job.confirm.design == "nested" or len(results.job.arms) < 2:
        return
    if start is None:
        yield (
            f"No verdict: an earlier version started this job warm from {name} and did not record "
            "from how many trials each arm learned."
        )
        return
    numbers = start.trials.values()
    if max(numbers) >= UNEVEN * min(numbers):
        shown = listed(f"{arm} {count(number)}" for arm, number in start.trials.items())
        yield (
            f"No verdict: the arms learned from unequal numbers of trials of job {name} ({shown}). "
            "Start cold, or from a job in whose space all arms' trials lie."
        )
    if start.may_have_seen_test:
        yield (
            f"No verdict: job {name}, from which the search started warm, may have trained on what "
            "is test data here. Start cold, or from a job with the same split (task.seed)."
        )
