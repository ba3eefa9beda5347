"""The sentences of a comparison: what can be said, what to mind, and what is not claimed."""

from collections.abc import Iterator
from dataclasses import replace

from search.results.figures import ArmSummary, Comparison, Finalist
from search.results.format import count, listing, plural, seconds, signed, spread, value

#: Spent budgets that differ by more than this factor are worth a sentence.
_UNEVEN = 1.5


def describe(figures: Comparison) -> Comparison:
    """Return the comparison with its sentences filled in."""
    return replace(
        figures,
        findings=tuple(_findings(figures)),
        cautions=tuple(_cautions(figures)),
        not_claimed=tuple(_not_claimed(figures)),
    )


def headline(figures: Comparison) -> str:
    """Return what was compared, on what, with which budget, in one or two sentences."""
    names = [arm.name for arm in figures.arms]
    ended = sum(arm.trials for arm in figures.arms)
    work = sum(arm.worker_seconds + arm.confirm_seconds for arm in figures.arms)
    each = " for each arm" if len(names) > 1 else ""
    so_far = "in all" if figures.progress == "done" else "so far"
    return (
        f"{listing(names)} on {figures.task}, decided by {figures.metric.name} ({sense(figures)}). "
        f"Budget: {budget(figures)}{each}; {plural(ended, 'search trial')} and {seconds(work)} of "
        f"training time {so_far}."
    )


def sense(figures: Comparison) -> str:
    """Return which way the job's metric counts."""
    return "higher is better" if figures.metric.maximize else "lower is better"


def budget(figures: Comparison) -> str:
    """Return the budget of one arm in words."""
    amount = figures.budget.amount
    match figures.budget.unit:
        case "trials":
            return plural(int(amount), "trial")
        case "epochs":
            return plural(int(amount), "training epoch")
        case _:
            return f"{seconds(amount)} of training time"


def _findings(figures: Comparison) -> Iterator[str]:
    confirmed = sorted(
        (figures.metric.cost(arm.leading.test.mean), position, arm.name, arm.leading.test)
        for position, arm in enumerate(figures.arms)
        if arm.leading and arm.leading.test
    )
    if len(confirmed) > 1:
        means = [
            f"{name} {spread(test.mean, test.deviation)} ({plural(test.n, 'seed')})"
            for _, _, name, test in confirmed
        ]
        yield (
            f"Mean test {figures.metric.name} of the finalists over fresh seeds, best mean first: "
            f"{listing(means)}. This orders these runs; no test was made."
        )
        yield from _against(figures, confirmed[0][2])
    for arm in figures.arms:
        yield _found(figures, arm)


def _against(figures: Comparison, best: str) -> Iterator[str]:
    """Yield the paired differences to one arm; those between the others are in the table."""
    shown = []
    for each in figures.differences:
        if best in (each.first, each.second):
            flip = -1.0 if each.first == best else 1.0
            other = each.second if each.first == best else each.first
            mean = signed(flip * each.difference.mean)
            deviation = each.difference.deviation
            spread_of = "" if deviation is None else f" ± {value(deviation)}"
            shown.append(f"{other} {mean}{spread_of} ({plural(each.difference.n, 'pair')})")
    if shown:
        yield (
            f"Difference to {best} in runs of equal seed, mean ± standard deviation: "
            f"{listing(shown)}."
        )


def _found(figures: Comparison, arm: ArmSummary) -> str:
    leader, best = arm.leader, arm.best
    if leader is None or best is None:
        return f"{arm.name}: no trial has been trained to its end, so there is nothing to say."
    cell = f" (a {leader.config.cell})" if arm.pooled else ""
    found = (
        f"validation {figures.metric.name} {value(leader.value)} in the search, by trial "
        f"{leader.number} with {_parameters(leader.parameters)} in {seconds(leader.train_seconds)}"
    )
    if arm.leading is None or arm.leading.test is None:
        return f"{arm.name}{cell}: best {found}; not confirmed with fresh seeds."
    if leader.number == best.number:
        return f"{arm.name}{cell}: best {found}."
    return (
        f"{arm.name}{cell}: {found}, which leads the arm since it did best on validation data with "
        f"fresh seeds. Trial {best.number} had the best value in the search, {value(best.value)}."
    )


def _parameters(number: int | None) -> str:
    return "size unknown" if number is None else f"{count(number)} parameters"


def _cautions(figures: Comparison) -> Iterator[str]:
    if figures.progress == "searching":
        ended = listing([f"{arm.name} {count(arm.trials)}" for arm in figures.arms])
        yield (
            f"The job is unfinished: the search is still running or was stopped (trials ended: "
            f"{ended}). Every figure is provisional; `gatesearch resume` goes on."
        )
    if figures.progress == "confirming":
        yield (
            "The job is unfinished: the search has ended, the finalists are still being confirmed. "
            "Test figures are provisional; `gatesearch resume` goes on."
        )
    short = [arm for arm in figures.arms if _short(figures, arm)]
    if short and figures.progress != "searching":
        spent = [f"{arm.name} {_spent(figures, arm)}" for arm in figures.arms]
        lost = any(a.too_slow or a.states["failed"] or a.states["diverged"] for a in short)
        vain = ", or since hardly a trial came to anything" if lost else ""
        yield (
            f"The search ended before its budget of {budget(figures)} an arm was spent (by its "
            f"wall-clock limit{vain}): {listing(spent)}. The arms may not have had equal chances."
        )
    for arm in figures.arms:
        yield from _cautions_of(figures, arm)
    yield from _sizes(figures)
    yield from _uneven(figures)


def _short(figures: Comparison, arm: ArmSummary) -> bool:
    spent = {"trials": arm.trials, "epochs": arm.epochs, "worker_seconds": arm.worker_seconds}
    return spent[figures.budget.unit] < figures.budget.amount


def _spent(figures: Comparison, arm: ArmSummary) -> str:
    match figures.budget.unit:
        case "trials":
            return plural(arm.trials, "trial")
        case "epochs":
            return plural(arm.epochs, "epoch")
        case _:
            return seconds(arm.worker_seconds)


def _cautions_of(figures: Comparison, arm: ArmSummary) -> Iterator[str]:
    lost = [
        f"{count(arm.states[state])} {state}"
        for state in ("diverged", "failed")
        if arm.states[state]
    ]
    if arm.best is None and figures.progress != "searching":
        yield f"{arm.name} has no complete trial: it takes no part in the comparison."
    if lost:
        yield (
            f"{arm.name}: {listing(lost)} of {plural(arm.trials, 'trial')}. They count against its "
            "budget and have no value."
        )
    if arm.too_slow:
        yield too_slow(figures, arm)
    for finalist in arm.finalists:
        yield from _replicates(figures, arm, finalist)
    if arm.pooled:
        yield (
            f"{arm.name} chooses its cell itself ({listing(arm.cells)}). How often each cell was "
            "tried follows the sampler, so it is no evidence for one of its cells over another."
        )


def too_slow(figures: Comparison, arm: ArmSummary) -> str:
    """Return how many of an arm's trials were over the limit of latency, and a remedy if all."""
    told = (
        f"{arm.name}: {count(arm.too_slow)} of {plural(arm.trials, 'trial')} took longer than "
        f"{figures.latency_limit_ms:g} ms for one sequence and were not trained"
    )
    if arm.best is not None or arm.fastest_ms is None:
        return f"{told}."
    return (
        f"{told}; the fastest took {arm.fastest_ms:.3g} ms. Under another name, run the job with a "
        "higher search.constraints.latency_ms, or with smaller models in its space."
    )


def _replicates(figures: Comparison, arm: ArmSummary, finalist: Finalist) -> Iterator[str]:
    done = finalist.test.n if finalist.test else 0
    who = f"{arm.name}, finalist {finalist.number}"
    if finalist.lost:
        yield (
            f"{who}: {count(finalist.lost)} of {plural(finalist.seeds, 'replicate')} diverged or "
            "failed and are not in its mean, which therefore flatters it."
        )
    elif done < finalist.seeds and figures.progress == "done":
        yield f"{who}: {count(done)} of {plural(finalist.seeds, 'replicate')} have a test value."


def _sizes(figures: Comparison) -> Iterator[str]:
    sizes = {arm.name: arm.leader.parameters for arm in figures.arms if arm.leader}
    known = [size for size in sizes.values() if size]
    if len(known) > 1 and max(known) > _UNEVEN * min(known):
        yield (
            "The configurations that lead the arms differ in size ("
            + listing([f"{name} {count(size)}" for name, size in sizes.items()])
            + " parameters): each arm is shown at its own best, not at equal size."
        )


def _uneven(figures: Comparison) -> Iterator[str]:
    if len(figures.arms) < 2 or figures.progress == "searching":
        return
    # A budget equalises one unit; what it cost in the others belongs to the comparison.
    spent = {
        "epochs": [float(arm.epochs) for arm in figures.arms],
        "worker_seconds": [arm.worker_seconds for arm in figures.arms],
    }
    spent.pop(figures.budget.unit, None)
    if any(max(each) > _UNEVEN * min(each) for each in spent.values()):
        yield (
            f"The arms were given {budget(figures)} each. What they trained with it differs: "
            + listing(
                [
                    f"{arm.name} {count(arm.epochs)} epochs in {seconds(arm.worker_seconds)}"
                    for arm in figures.arms
                ]
            )
            + "."
        )


def _not_claimed(figures: Comparison) -> Iterator[str]:
    several = len(figures.arms) > 1
    if several:
        yield (
            "No verdict: this version makes no statistical test and does not say that one arm is "
            "better than another, nor how many seeds would be needed to say so."
        )
    yield (
        "Search values are the best of many tries on validation data and flatter the arm; between "
        "arms, only the test figures of the confirm phase are comparable."
        if several
        else "The search value is the best of many tries on validation data and flatters the "
        "configuration; only the test figures of the confirm phase are unbiased by the search."
    )
    if not any(arm.leading and arm.leading.test for arm in figures.arms):
        yield (
            "No finalist has been trained again with fresh seeds"
            + (" yet" if figures.progress != "done" else "")
            + ": no test data has been used and nothing here is confirmed."
        )
    else:
        yield (
            "The spread over seeds covers initial weights, data order and dropout. It does not "
            "cover other splits of the data, other data, or another search."
        )
    yield (
        "Training times are those of this software on this machine, not properties of a cell: "
        "cells take different code paths."
    )
