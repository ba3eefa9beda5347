"""What a job that started warm has from the job before, and whether that forbids a verdict."""

from collections.abc import Iterator

from search.journal.warm_start import WarmStart
from search.results.format import count, plural
from search.results.read import Results
from spaces.text import listed

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
