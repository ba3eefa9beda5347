"""The tables of several tasks: what holds over them, and each pair of arms on each task."""

from collections.abc import Mapping

from search.results import format
from search.results.evidence import wording
from search.results.evidence.across import Across, AcrossPair
from search.results.evidence.ranks import Ranks
from search.results.tables import ArmLabel, Column, Table
from spaces.text import listed


def over_tasks(found: Across) -> Table:
    """Return one row for each pair of arms: how often the first wins on average, and the tests."""
    percent = f"{100 * found.confidence:g} %"
    columns = [
        Column("pair", "pair"),
        Column("tasks", "count"),
        Column(f"first one wins on average ({percent})", "setting", "wins", strong=True),
    ]
    if tested := any(pair.shares for pair in found.pairs):
        columns += [
            Column("first better", "setting"),
            Column("within the margin", "setting", "the same"),
            Column("second better", "setting"),
            Column("Wilcoxon p", "setting"),
            Column("on further tasks", "text"),
        ]
    order = places(found)
    rows = []
    for pair in found.pairs:
        wins = format.share(pair.probability, pair.interval)
        rows.append(
            (_labels(pair, order), len(pair.tasks), wins, *(_tests(pair) if tested else ()))
        )
    return Table(f"Over tasks; intervals of {percent}", tuple(columns), tuple(rows))


def _tests(pair: AcrossPair) -> tuple[str, ...]:
    if pair.shares is None or pair.p_value is None:
        return ("", "", "", "", "no claim: too few tasks")
    decision = f"{pair.winner} better" if pair.winner else pair.decision or ""
    return (*map(format.probability, pair.shares), format.probability(pair.p_value), decision)


def per_task(found: Across) -> Table:
    """Return one row for each pair of arms on each task."""
    percent = f"{100 * found.confidence:g} %"
    columns = (
        Column("pair", "pair"),
        Column("task", "text"),
        Column("metric", "text", only="page"),
        Column("first one wins (interval)", "setting", "wins", strong=True),
        Column("mean difference", "signed", "mean"),
        Column("interval of it", "setting", "interval"),
        Column("gain in margins", "signed", "gain"),
        Column("pairs", "count"),
        Column("decision there", "text", "decision"),
    )
    metrics = {task.name: task.verdict.metric for task in found.tasks}
    order = places(found)
    rows = []
    for pair in found.pairs:
        for each in pair.tasks:
            there = each.pair
            bounds = there.difference_interval
            rows.append(
                (
                    _labels(pair, order),
                    each.task,
                    metrics[each.task],
                    format.share(there.probability, there.interval),
                    there.difference,
                    format.ABSENT if bounds is None else format.bounds(*bounds),
                    each.gain,
                    there.pairs,
                    wording.decision(there),
                )
            )
    return Table(f"Task by task; intervals of {percent}", columns, tuple(rows))


def mean_ranks(found: Ranks) -> Table:
    """Return the arms in the order of their mean ranks, with those that each is not told from."""
    columns = (
        Column("arm", "text"),
        Column("mean rank", "value", strong=True),
        Column("not told apart from", "text"),
    )
    rows = []
    for arm, mean in found.means.items():
        near = {other for group in found.groups if arm in group for other in group} - {arm}
        rows.append((arm, mean, listed(other for other in found.means if other in near)))
    return Table(f"Mean ranks over {found.tasks} tasks, 1 is the best", columns, tuple(rows))


def places(found: Across) -> Mapping[str, int]:
    """Return the arms' places, which decide their colours: in the order of the tasks' arms."""
    arms = dict.fromkeys(arm for task in found.tasks for arm in task.scores)
    return {arm: place for place, arm in enumerate(arms)}


def _labels(pair: AcrossPair, places: Mapping[str, int]) -> tuple[ArmLabel, ArmLabel]:
    return ArmLabel(pair.first, places[pair.first]), ArmLabel(pair.second, places[pair.second])
