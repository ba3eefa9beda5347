"""What several jobs say together, each of them one task; and which jobs do not go together."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from search.results import format
from search.results.evidence.across import Across, Task
from search.results.evidence.judge_across import across
from search.results.evidence.pairs import Results as Paired
from search.results.figures import Comparison
from search.results.read import Results
from search.results.scores import replicate_results
from search.results.siblings import task_key
from search.results.summarise import compare
from spaces.errors import InputError
from spaces.text import listed, named

_WHERE = "gatesearch compare"


def compare_jobs(jobs: Sequence[Results]) -> Across:
    """Return what jobs say about the arms that they have in common; unfinished jobs too.

    Raises InputError where a job is named twice, where jobs have different designs, where arms of
    one name have different cells, and where fewer than two tasks have two arms in common.
    """
    _refuse_doubles(jobs)
    _refuse_other_arms(jobs)
    left_out = _doubled_tasks(jobs)
    used = [job for job in jobs if _name(job) not in left_out]
    _refuse_other_designs(used)
    names = Counter(job.info.name for job in used)
    compared = {_name(job): compare(job) for job in used}
    tasks = [
        Task(
            job.info.name if names[job.info.name] == 1 else f"{job.info.name} ({_name(job)})",
            figures.verdict,
            Paired(replicate_results(job.info.metric, job.arms, job.trials)).scores,
            job.info.metric.maximize,
            _name(job),
        )
        for job, figures in zip(used, compared.values(), strict=True)
    ]
    found = across(tasks, left_out, tuple(_cautions(used, compared)))
    if not found.pairs:
        reasons = [f"{named(name)}: {reason}" for name, reason in found.left_out.items()]
        arms = [f"{task.name} has {listed(task.scores)}" for task in found.tasks]
        rule = "two tasks or more must have results of the same two arms"
        raise InputError.of(_WHERE, f"{rule}; {'; '.join(reasons + arms)}", "name other jobs")
    return found


def same_data(one: Results, other: Results) -> bool:
    """Return whether two jobs are of one task: its splits, seeds and metrics may differ."""
    if one.info.fingerprint and one.info.fingerprint == other.info.fingerprint:
        return True
    return _task(one) == _task(other)


def _task(results: Results) -> dict[str, Any]:
    return task_key(results.job.task.model_dump(mode="json"), results.job.base)


def _name(job: Results) -> str:
    """Return what a user calls a job: its folder's name, which a copy does not share with it."""
    return job.folder.name


def _refuse_doubles(jobs: Sequence[Results]) -> None:
    for folder, times in Counter(job.folder for job in jobs).items():
        if times > 1:
            rule = f"a job must be named once, not {times} times: it is one task"
            raise InputError.of(folder.name, rule, "name jobs of other tasks")


def _refuse_other_arms(jobs: Sequence[Results]) -> None:
    """Raise InputError where arms of one name are not the same thing."""
    cells: dict[str, dict[tuple[str, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs:
        for arm in job.job.arms:
            own = tuple(dict.fromkeys(f"{cell.family}-{cell.gates}" for cell in arm.cells))
            cells[arm.name][own].append(_name(job))
    for name, kinds in cells.items():
        if len(kinds) > 1:
            shown = "; ".join(f"{listed(own)} in {listed(names)}" for own, names in kinds.items())
            rule = f"arm {named(name)} must have the same cells in all jobs, not {shown}"
            raise InputError.of(_WHERE, rule, "name jobs whose arms are alike")


def _refuse_other_designs(jobs: Sequence[Results]) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for job in jobs:
        groups[job.job.confirm.design].append(_name(job))
    if len(groups) > 1:
        shown = listed(f"{design} in {listed(names)}" for design, names in groups.items())
        most = max(groups.values(), key=len)
        rule = f"jobs must have one design of replicates, not {shown}: they answer other questions"
        remedy = "run the others again with the same confirm.design"
        if len(most) > 1:
            remedy = f"name {listed(most)} alone, or {remedy}"
        raise InputError.of(_WHERE, rule, remedy)


def _doubled_tasks(jobs: Sequence[Results]) -> dict[str, str]:
    """Return the jobs whose task an earlier one has, and why they are left out."""
    taken: list[Results] = []
    left_out: dict[str, str] = {}
    for job in jobs:
        first = next((other for other in taken if same_data(job, other)), None)
        if first is None:
            taken.append(job)
        else:
            left_out[_name(job)] = (
                f"Its task is that of {_name(first)} ({first.info.name}): two jobs of one task "
                "are not two tasks."
            )
    return left_out


def _cautions(jobs: Sequence[Results], compared: Mapping[str, Comparison]) -> Iterator[str]:
    """Yield what a reader must know before using it."""

    def groups(of: Callable[[Comparison], str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for name, figures in compared.items():
            found[of(figures)].append(name)
        return found

    if any(job.job.confirm.design != "nested" for job in jobs):
        yield (
            "On each task, replicates speak of the configurations that its search found for the "
            "arms, not of cells: only design nested does."
        )
    unfinished = [name for name, figures in compared.items() if figures.progress != "done"]
    if unfinished:
        yield f"Unfinished, and provisional: {listed(unfinished)}."
    by_arms = groups(lambda figures: listed(arm.name for arm in figures.arms))
    if len(by_arms) > 1:
        yield (
            f"The jobs have different arms ({_shown(by_arms)}): each pair is over the tasks that "
            "have both."
        )
    for what, own in (
        ("are decided by different metrics", groups(lambda figures: figures.metric.name)),
        ("count results as the same at different margins", groups(_margin)),
        ("have different budgets of search", groups(_budget)),
        (
            "have different confidence, of which the strictest counts over tasks",
            groups(_confidence),
        ),
    ):
        if len(own) > 1:
            yield f"The jobs {what}: {_shown(own)}."
    spaces = {_name(job): job.job.dump()["space"] for job in jobs}
    first, *others = spaces
    if other := [name for name in others if spaces[name] != spaces[first]]:
        yield f"The jobs search different spaces: {listed(other)} not that of {first}."


def _shown(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value} in {listed(names)}" for value, names in groups.items())


def _margin(figures: Comparison) -> str:
    return f"{figures.verdict.margin} of {figures.metric.name}"


def _confidence(figures: Comparison) -> str:
    return f"{100 * figures.verdict.confidence:g} %"


def _budget(figures: Comparison) -> str:
    amount, unit = figures.budget.amount, figures.budget.unit
    if unit == "worker_seconds":
        return format.seconds(amount)
    return format.plural(int(amount), unit.removesuffix("s"))
