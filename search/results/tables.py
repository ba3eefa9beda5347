"""A comparison on the terminal."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from search.results import sentences
from search.results.figures import ArmSummary, Comparison, Finalist
from search.results.format import ABSENT, count, seconds, signed, spread, value
from spaces.config import TrialConfig


def final_table(figures: Comparison) -> RenderableType:
    """Return the table that ends a run: arm, best value, parameters, training time, test."""
    title = f"{figures.job}: {figures.metric.name} on {figures.task}, {sentences.sense(figures)}"
    table = _table()
    table.add_column("arm")
    for name in ("search value", "parameters", "training time", "test (fresh seeds)", "seeds"):
        table.add_column(name, justify="right")
    for arm in figures.arms:
        leader, leading = arm.leader, arm.leading
        test = leading.test if leading else None
        table.add_row(
            Text(_named(arm, leader.config if leader else None)),
            value(leader.value if leader else None),
            count(leader.parameters if leader else None),
            seconds(leader.train_seconds if leader else None),
            spread(test.mean, test.deviation) if test else ABSENT,
            _seeds(leading),
        )
    return _titled(title, table)


def comparison(figures: Comparison) -> RenderableType:
    """Return everything `gatesearch compare` prints."""
    parts: list[RenderableType] = [Text(sentences.headline(figures)), Text(), final_table(figures)]
    parts += [Text(), _spent(figures)]
    if any(arm.finalists for arm in figures.arms):
        parts += [Text(), _confirmed(figures)]
    if figures.differences:
        parts += [Text(), _paired(figures)]
    parts += _sentences("Before you use this", figures.cautions)
    parts += _sentences("Not claimed", figures.not_claimed)
    return Group(*parts)


def _spent(figures: Comparison) -> RenderableType:
    title = "Spent in the search"
    table = _table()
    table.add_column("arm")
    columns = ("trials", "complete", "pruned", "diverged", "failed", "running", "at random")
    for name in (*columns, "epochs", "training time"):
        table.add_column(name, justify="right")
    for arm in figures.arms:
        states = [count(arm.states[state]) for state in columns[1:-1]]
        table.add_row(
            Text(arm.name),
            count(arm.trials),
            *states,
            count(arm.controls),
            count(arm.epochs),
            seconds(arm.worker_seconds),
        )
    return _titled(title, table)


def _confirmed(figures: Comparison) -> RenderableType:
    title = f"Finalists, trained again with fresh seeds ({figures.metric.name})"
    table = _table()
    table.add_column("arm")
    for name in ("trial", "validation", "test mean ± sd", "min", "max", "seeds", "parameters"):
        table.add_column(name, justify="right")
    for arm, finalist in _finalists(figures.arms):
        test, validation = finalist.test, finalist.validation
        table.add_row(
            Text(_named(arm, finalist.config)),
            str(finalist.number),
            value(validation.mean if validation else None),
            spread(test.mean, test.deviation) if test else ABSENT,
            value(test.low if test else None),
            value(test.high if test else None),
            _seeds(finalist),
            count(finalist.parameters),
        )
    return _titled(title, table)


def _paired(figures: Comparison) -> RenderableType:
    title = "Differences in test figures, paired by seed (descriptive)"
    table = _table()
    table.add_column("difference")
    for name in ("mean", "sd", "pairs", "in favour of"):
        table.add_column(name, justify="right")
    for each in figures.differences:
        table.add_row(
            Text(f"{each.first} − {each.second}"),
            signed(each.difference.mean),
            value(each.difference.deviation),
            count(each.difference.n),
            Text(each.favours or "neither"),
        )
    return _titled(title, table)


def _named(arm: ArmSummary, config: TrialConfig | None) -> str:
    """Return an arm's name, with the cell where the trial chose it."""
    return f"{arm.name} ({config.cell})" if arm.pooled and config else arm.name


def _finalists(arms: Iterable[ArmSummary]) -> Iterable[tuple[ArmSummary, Finalist]]:
    return ((arm, finalist) for arm in arms for finalist in arm.finalists)


def _seeds(finalist: Finalist | None) -> str:
    if finalist is None:
        return ABSENT
    done = finalist.test.n if finalist.test else 0
    return count(done) if done == finalist.seeds else f"{count(done)} of {count(finalist.seeds)}"


def _sentences(title: str, sentences: Iterable[str]) -> list[RenderableType]:
    lines = [Padding(Text(f"• {sentence}"), (0, 0, 0, 2)) for sentence in sentences]
    return [Text(), Text(title, style="bold"), *lines] if lines else []


def _titled(title: str, table: Table) -> RenderableType:
    """A title of its own: as part of a narrow table it would be broken into lines."""
    return Group(Text(title, style="bold"), table)


def _table() -> Table:
    return Table(box=None, pad_edge=False)
