"""The sentences of a comparison: what can be said, what to mind, and what is not claimed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from search.results.figures import ArmSummary, Comparison, Finalist
from search.results.format import (
    count,
    plural,
    seconds,
    signed,
    spread,
    value,
    with_deviation,
    within,
)
from spaces.text import listed
from trainables.training.measured_path import in_words

#: Sizes and epochs of arms that differ by this factor or more are worth a sentence.
_UNEVEN = 1.1
_NAMED = 5  # jobs that a sentence names
_UNEVEN_SECONDS = 1.5  #: the same of training times, which other work on a machine stretches


def describe(figures: Comparison) -> Comparison:
    """Return the comparison with its sentences filled in."""
    return replace(
        figures,
        findings=tuple(_findings(figures)),
        cautions=tuple(_cautions(figures)),
        not_claimed=tuple(_not_claimed(figures)),
    )


def headline(figures: Comparison) -> str:
    """Return what was compared, on what, with which budget, in two sentences."""
    arms = figures.arms
    ended = sum(arm.trials for arm in arms)
    work = sum(arm.worker_seconds + arm.confirm_seconds for arm in arms)
    for_each = " for each arm" if len(arms) > 1 else ""
    so_far = "in all" if figures.progress == "done" else "so far"
    return (
        f"{listed(arm.name for arm in arms)} on {figures.task}, decided by {figures.metric.name} "
        f"({sense(figures)}). Budget: {budget(figures)}{for_each}; "
        f"{plural(ended, 'search trial')} and {seconds(work)} of training time {so_far}."
    )


def pairs_to_add(figures: Comparison) -> int:
    """Return about how many more pairs an undecided verdict needs; 0 where it needs none."""
    if figures.verdict.kind != "undecided":
        return 0
    needed = [pair.still_needed for pair in figures.verdict.pairs if pair.still_needed]
    return max((each.estimate for each in needed if each.estimate is not None), default=0)


def sense(figures: Comparison) -> str:
    """Return which values of the job's metric are good."""
    return "higher is better" if figures.metric.maximize else "lower is better"


def budget(figures: Comparison) -> str:
    """Return the budget of one arm."""
    amount = figures.budget.amount
    match figures.budget.unit:
        case "trials":
            return plural(int(amount), "trial")
        case "epochs":
            return plural(int(amount), "training epoch")
        case "worker_seconds":
            return f"{seconds(amount)} of training time"


# What can be said


def _findings(figures: Comparison) -> Iterator[str]:
    confirmed = sorted(
        (
            (arm.name, arm.leading.test)
            for arm in figures.arms
            if arm.leading is not None and arm.leading.test is not None
        ),
        key=lambda row: figures.metric.cost(row[1].mean),
    )
    if len(confirmed) > 1:
        new = "split" if figures.verdict.design == "splits" else "seed"
        means = [f"{name} {spread(test)} ({plural(test.n, new)})" for name, test in confirmed]
        yield (
            f"Mean test {figures.metric.name} of the finalists over fresh {new}s, best mean first: "
            f"{listed(means)}. This orders these runs; the verdict says what follows from it."
        )
        yield from _differences_to(figures, confirmed[0][0])
    if figures.starts:
        yield (
            f"Every arm began with the {plural(figures.starts, 'configuration')} that the job file "
            "gives (search.start_from)."
        )
    if figures.first_rates is not None:
        yield figures.first_rates
    for arm in figures.arms:
        yield _leader(figures, arm)
    yield from _alone(figures)


def _differences_to(figures: Comparison, best: str) -> Iterator[str]:
    """Yield the paired differences to one arm; those between the others are in the table."""
    shown = []
    for pair in figures.differences:
        if best in (pair.first, pair.second):
            other, sign = (pair.second, -1.0) if pair.first == best else (pair.first, 1.0)
            mean = signed(sign * pair.difference.mean)
            difference = with_deviation(mean, pair.difference.deviation)
            shown.append(f"{other} {difference} ({plural(pair.difference.n, 'pair')})")
    if shown:
        yield (
            f"Difference to {best} in runs of equal seed, mean ± standard deviation: "
            f"{listed(shown)}."
        )


def _leader(figures: Comparison, arm: ArmSummary) -> str:
    leader, best = arm.leader, arm.best
    if leader is None or best is None:
        return f"{arm.name}: no trial has been trained to its end, so there is nothing to say."
    name = f"{arm.name} (a {leader.config.cell})" if arm.pooled else arm.name
    size = "size unknown" if leader.parameters is None else f"{count(leader.parameters)} parameters"
    found = (
        f"validation {figures.metric.name} {value(leader.value)} in the search, by trial "
        f"{leader.number} with {size} in {seconds(leader.train_seconds)}"
    )
    if arm.leading is None or arm.leading.test is None:
        return f"{name}: best {found}; not confirmed with fresh seeds."
    if leader.number == best.number:
        return f"{name}: best {found}."
    return (
        f"{name}: {found}. It leads the arm by its validation values with fresh seeds; the best "
        f"value in the search was {value(best.value)}, by trial {best.number}."
    )


def _alone(figures: Comparison) -> Iterator[str]:
    leading = [(arm, arm.leading.alone) for arm in figures.arms if arm.leading]
    known = [(arm, alone) for arm, alone in leading if alone is not None]
    if not known:
        return
    paths = sorted({in_words(alone.path) for _, alone in known})
    trained = sorted({in_words(alone.training_path) for _, alone in known if alone.training_path})
    yield (
        f"Costs of the arms' leaders were measured after the search, in turn and with nothing of "
        f"the job beside them, as medians; passes forward: {listed(paths)}"
        + (f"; training: {listed(trained)}." if trained else ".")
    )
    times = [
        (arm.name, took, took.seconds)
        for arm, _ in known
        if (took := arm.to_target) is not None and took.seconds is not None
    ]
    if times:
        target = f"{figures.metric.name} {value(times[0][1].target)}"
        shown = [
            f"{name} {within(needed.seconds, needed.seconds_interval, seconds)}"
            for name, needed, _ in sorted(times, key=lambda row: row[2])
        ]
        yield (
            f"Training time to validation {target}, the median over replicates (95 % interval), "
            f"shortest first: {listed(shown)}."
        )


# What to mind


def _cautions(figures: Comparison) -> Iterator[str]:
    yield from _unfinished(figures)
    yield from figures.objections
    if figures.warm_start is not None:
        yield figures.warm_start
    for arm in figures.arms:
        yield from _cautions_of(figures, arm)
    yield from _sizes(figures)
    yield from _uneven(figures)
    yield from _paths(figures)
    if figures.also_scored:
        number = plural(len(figures.also_scored), "other job")
        have = "has" if len(figures.also_scored) == 1 else "have"
        some = figures.also_scored[:_NAMED]
        names = listed([*some, "others"] if len(figures.also_scored) > _NAMED else some)
        yield (
            f"{number} in this folder of jobs {have} scored test data of this task ({names}): the "
            "more often it is looked at, the more what is chosen then suits it by chance."
        )


def _unfinished(figures: Comparison) -> Iterator[str]:
    if figures.progress == "searching":
        ended = listed(f"{arm.name} {count(arm.trials)}" for arm in figures.arms)
        yield (
            "The job is unfinished: the search is still running or was stopped (trials ended: "
            f"{ended}). Every figure is provisional; `gatesearch resume` continues it."
        )
        return
    if figures.progress == "confirming":
        yield (
            "The job is unfinished: the search has ended, the finalists are still being confirmed. "
            "Test figures are provisional; `gatesearch resume` continues it."
        )
    short = [arm for arm in figures.arms if _spent(figures, arm)[0] < figures.budget.amount]
    if short:
        spent = [f"{arm.name} {_spent(figures, arm)[1]}" for arm in figures.arms]
        lost = any(a.too_slow or a.states["failed"] or a.states["diverged"] for a in short)
        unproductive = ", or because too many trials in a row were unproductive" if lost else ""
        yield (
            f"The search ended before its budget of {budget(figures)} an arm was spent (by its "
            f"wall-clock limit{unproductive}): {listed(spent)}. The arms may not have had equal "
            "chances."
        )


def _spent(figures: Comparison, arm: ArmSummary) -> tuple[float, str]:
    """Return what an arm has spent of its budget: the amount, and as text."""
    match figures.budget.unit:
        case "trials":
            return arm.trials, plural(arm.trials, "trial")
        case "epochs":
            return arm.epochs, plural(arm.epochs, "epoch")
        case "worker_seconds":
            return arm.worker_seconds, seconds(arm.worker_seconds)


def _cautions_of(figures: Comparison, arm: ArmSummary) -> Iterator[str]:
    if arm.best is None and figures.progress != "searching":
        yield f"{arm.name} has no complete trial: it takes no part in the comparison."
    lost = [
        f"{count(arm.states[state])} {state}"
        for state in ("diverged", "failed")
        if arm.states[state]
    ]
    if lost:
        yield (
            f"{arm.name}: {listed(lost)} of {plural(arm.trials, 'trial')}. They count against its "
            "budget and have no value; a control that diverged counts as the worst one."
        )
    if arm.too_slow:
        yield too_slow(figures, arm)
    for finalist in arm.finalists:
        yield from _replicates(figures, arm, finalist)
    if arm.pooled:
        yield (
            f"{arm.name} chooses its cell itself ({listed(arm.cells)}). How often each cell was "
            "tried follows the sampler, so it is no evidence for one of its cells over another."
        )


def too_slow(figures: Comparison, arm: ArmSummary) -> str:
    """Return how many of an arm's trials were over the limit of latency, and a remedy if all."""
    counted = (
        f"{arm.name}: {count(arm.too_slow)} of {plural(arm.trials, 'trial')} took longer than "
        f"{figures.latency_limit_ms:g} ms for one sequence and were not trained"
    )
    if arm.best is not None or arm.fastest_ms is None:
        return f"{counted}."
    return (
        f"{counted}; the fastest took {arm.fastest_ms:.3g} ms. Run the job under another name "
        "with a higher search.constraints.latency_ms, or with smaller models in its space."
    )


def _replicates(figures: Comparison, arm: ArmSummary, finalist: Finalist) -> Iterator[str]:
    done = finalist.test.n if finalist.test else 0
    name = f"{arm.name}, finalist {finalist.number}"
    if finalist.lost:
        yield (
            f"{name}: {count(finalist.lost)} of {plural(finalist.seeds, 'replicate')} diverged or "
            "failed and are not in its mean, which therefore flatters it."
        )
    elif done < finalist.seeds and figures.progress == "done":
        yield f"{name}: {count(done)} of {plural(finalist.seeds, 'replicate')} have a test value."


def _sizes(figures: Comparison) -> Iterator[str]:
    leaders = {arm.name: arm.leader.parameters for arm in figures.arms if arm.leader}
    means = {arm.name: arm.mean_parameters for arm in figures.arms}
    for what, sizes in (
        ("The configurations that lead the arms differ in size", leaders),
        ("The models that the arms tried differ in their mean size", means),
    ):
        if _differ([size for size in sizes.values() if size]):
            shown = listed(
                f"{name} {count(None if size is None else round(size))}"
                for name, size in sizes.items()
            )
            yield (
                f"{what} ({shown} parameters): the arms are not compared at equal size. "
                f"`gatesearch equal-size {figures.job}` writes the job that does."
            )


def _differ(amounts: Sequence[float], factor: float = _UNEVEN) -> bool:
    """Return whether the largest amount is so many times the smallest one, or more."""
    least, most = min(amounts, default=0.0), max(amounts, default=0.0)
    return most / least >= factor if least else most > 0


def _uneven(figures: Comparison) -> Iterator[str]:
    if len(figures.arms) < 2 or figures.progress == "searching":
        return
    # A budget equalises one unit; what it cost in the others belongs to the comparison.
    unit = figures.budget.unit
    epochs = [arm.epochs for arm in figures.arms]
    times = [arm.worker_seconds for arm in figures.arms]
    if (unit != "epochs" and _differ(epochs)) or (
        unit != "worker_seconds" and _differ(times, _UNEVEN_SECONDS)
    ):
        shown = listed(
            f"{arm.name} {count(arm.epochs)} epochs in {seconds(arm.worker_seconds)}"
            for arm in figures.arms
        )
        yield (
            f"Each arm had a budget of {budget(figures)}. What the arms trained with it differs: "
            f"{shown}."
        )


def _paths(figures: Comparison) -> Iterator[str]:
    known = [arm for arm in figures.arms if arm.paths]
    if len({path for arm in known for path in arm.paths}) > 1:
        arms_of: dict[tuple[str, ...], list[str]] = {}
        for arm in known:
            arms_of.setdefault(arm.paths, []).append(arm.name)
        each = "; ".join(
            f"{listed(names)} on {listed(f'({in_words(path)})' for path in paths)}"
            for paths, names in arms_of.items()
        )
        yield (
            f"Times of {listed(arm.name for arm in known)} were measured on different paths: "
            f"{each}. They compare code or devices as well as cells."
        )


# What is not claimed

_SPREADS = {
    "seeds": "The spread over seeds covers initial weights, data order and dropout. It does not "
    "cover other splits of the data, other data, or another search.",
    "splits": "The spread over splits covers which sequences are for training and validation, "
    "initial weights, data order and dropout. It does not cover other test data or another search.",
}


def _not_claimed(figures: Comparison) -> Iterator[str]:
    if len(figures.arms) > 1:
        yield (
            "Search values are the best of many tries on validation data and flatter the arm; "
            "between arms, only the test figures of the confirm phase are comparable."
        )
    else:
        yield (
            "The search value is the best of many tries on validation data and flatters the "
            "configuration; only the test figures of the confirm phase are unbiased by the search."
        )
    if any(arm.leading and arm.leading.test for arm in figures.arms):
        yield _SPREADS[figures.verdict.design]
    elif figures.verdict.design == "nested" and figures.verdict.pairs:
        yield (
            "The test figures of a nested design are of what small searches on new splits found, "
            "not of the arms' best configurations, which no test data has scored."
        )
    else:
        yet = "" if figures.progress == "done" else " yet"
        yield (
            f"No finalist has been trained again with fresh seeds{yet}: no test data has been "
            "used and nothing here is confirmed."
        )
    paths = {path for arm in figures.arms for path in arm.paths}
    same = f"; all are of one path: {in_words(*paths)}" if len(paths) == 1 else ""
    yield (
        "Training times are those of this software on this machine, not properties of a cell"
        f"{same or ': cells take different code paths'}."
    )
    if figures.shared_workers:
        yield (
            "Workers may train several trials at once: a trial's training time is its share of the "
            "worker's time, not what it would take alone."
        )
    if figures.mixed_devices:
        yield (
            "Some trials may have trained on GPUs and others on CPUs: their training times are not "
            "comparable."
        )
