"""The tables of a comparison, without a format: terminal.py and the report draw the same ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from search.journal.trial import AloneTimes, State
from search.results import format, sentences
from search.results.costs import COSTS
from search.results.evidence import wording
from search.results.evidence.verdict import PairVerdict, Verdict
from search.results.figures import ArmSummary, BaselineScore, Comparison, Finalist, SplitScores
from search.results.learning_rates import GoodRates
from search.spread import Spread
from trainables.training.measured_path import in_words

#: What a column holds, and the type of its cells; None is a figure that does not exist.
#:
#:     arm       ArmLabel, or str: no arm                  count     int | None
#:     pair      (ArmLabel, ArmLabel)        done      (done, asked) | None
#:     text      str or Marked               value     float | None, of the job's metric
#:     long      str, of any length          signed    float | None, a difference
#:     setting   str                         spread    Spread | None
#:     bytes     int | None                seconds, milliseconds   float | None
TextKind = Literal["arm", "pair", "text", "long"]  #: set to the left
FigureKind = Literal[
    "setting", "count", "done", "value", "signed", "spread", "bytes", "seconds", "milliseconds"
]
Kind = TextKind | FigureKind


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    kind: Kind
    short: str = ""  #: the title where there is little room: on a terminal
    only: Literal["terminal", "page"] | None = None  #: where it is drawn, if not everywhere
    strong: bool = False  #: its figures are what a reader looks for

    @property
    def numeric(self) -> bool:
        """Whether its cells are figures, which are set to the right."""
        return self.kind not in get_args(TextKind)

    def text(self, cell: Any) -> str:
        """Return a cell as text."""
        match self.kind:
            case "arm":
                return str(cell)
            case "pair":
                return f"{cell[0].name} − {cell[1].name}"
            case "text" | "long" | "setting":
                return cell.text if isinstance(cell, Marked) else cell or format.ABSENT
            case kind:
                return _FIGURES[kind](cell)


_FIGURES: dict[str, Callable[[Any], str]] = {
    "count": format.count,
    "done": format.done,
    "value": format.value,
    "signed": format.signed,
    "spread": format.spread,
    "bytes": format.memory,
    "seconds": format.seconds,
    "milliseconds": format.milliseconds,
}


@dataclass(frozen=True)
class ArmLabel:
    """An arm's name, with what a renderer needs to show it."""

    name: str
    position: int  #: in the job file; it decides the arm's colour
    cell: str | None = None  #: of a pooled arm's configuration

    def __str__(self) -> str:
        return f"{self.name} ({self.cell})" if self.cell else self.name


@dataclass(frozen=True)
class Marked:
    """A text that stands out, or that is copied as it is."""

    text: str
    mark: Literal["strong", "code"]


@dataclass(frozen=True)
class Table:
    """A title, columns, and rows with a cell for each of the columns."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def on(self, place: Literal["terminal", "page"]) -> "Table":
        """Return the table with the columns that are drawn in a place."""
        drawn = [column.only in (None, place) for column in self.columns]

        def taken(cells: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(cell for cell, keep in zip(cells, drawn, strict=True) if keep)

        return Table(self.title, taken(self.columns), tuple(taken(row) for row in self.rows))


def arms(figures: Comparison) -> Table:
    """Return the table that ends a run: one row an arm, all of it about the arm's leader.

    Below the arms stands what is reached without a model.
    """
    metric = figures.metric.name
    columns = (
        Column("arm", "arm"),
        Column("cell", "text", only="page"),
        Column(f"validation {metric} in the search", "value", "search value"),
        Column("parameters", "count"),
        Column("training time", "seconds"),
        Column(f"test {metric}, mean ± sd", "spread", f"test ({_new(figures)})", strong=True),
        Column("generalisation gap, mean ± sd", "spread", only="page"),
        Column(_new(figures), "done", _new(figures).split()[1]),
    )
    title = f"{figures.job}: {metric} on {figures.task}, {sentences.sense(figures)}"
    if figures.baselines:
        title += "; in brackets: no model"
    rows = [_arm(figures, arm) for arm in figures.arms]
    rows += [_baseline(baseline) for baseline in figures.baselines]
    return Table(title, columns, tuple(rows))


def _arm(figures: Comparison, arm: ArmSummary) -> tuple[Any, ...]:
    leader, leading = arm.leader, arm.leading
    return (
        _label(figures, arm, leader.config.cell if leader else None),
        ", ".join(arm.cells) + (" (chosen by the trial)" if arm.pooled else ""),
        leader and leader.value,
        leader and leader.parameters,
        leader and leader.train_seconds,
        arm.nested.test if arm.nested else leading and leading.test,
        _gap(arm),
        _splits(arm.nested) if arm.nested else _done(leading),
    )


def _new(figures: Comparison) -> str:
    """Return what is new in a replicate, beside all that it brings with it."""
    return "fresh seeds" if figures.verdict.design == "seeds" else "new splits"


def _splits(scores: SplitScores) -> tuple[int, int]:
    return scores.test.n if scores.test else 0, scores.splits


def _baseline(baseline: BaselineScore) -> tuple[Any, ...]:
    test = Spread.of([baseline.test])
    return (f"({baseline.name})", "no model", baseline.value, None, None, test, None, None)


def trade_offs(figures: Comparison) -> Table:
    """Return what an arm's results cost beside time: trainings that diverge, rates to be found."""
    columns = (
        Column("arm", "arm"),
        Column("generalisation gap", "spread", only="terminal"),
        Column("controls that diverged", "setting", "controls"),
        Column("replicates that diverged", "setting", "replicates"),
        Column("learning rates that work", "text", "good learning rates"),
        Column("unbeaten at its cost", "long", only="page"),
    )
    rows = tuple(
        (
            _label(figures, arm),
            _gap(arm),
            format.done((arm.diverged.controls, arm.diverged.of_controls)),
            format.done((arm.diverged.replicates, arm.diverged.of_replicates)),
            _rates(arm.good_rates),
            _unbeaten(figures, arm),
        )
        for arm in figures.arms
    )
    title = "Trade-offs; how many controls and replicates diverged, which learning rates work"
    return Table(title, columns, rows)


def _gap(arm: ArmSummary) -> Spread | None:
    if arm.nested:
        return arm.nested.gap
    return arm.leading.gap if arm.leading else None


def _rates(found: GoodRates) -> str:
    if found.width is None or found.interval is None or found.searched is None:
        return f"cannot tell: {found.reason}"
    low, high = found.interval
    return f"{found.width:.1f} of {found.searched:.1f} decades ({low:.1f}–{high:.1f})"


def _unbeaten(figures: Comparison, arm: ArmSummary) -> str:
    """Return the costs at which no other arm's finalist has a better value."""
    titles = {cost.name: cost.title for cost in COSTS}
    return ", ".join(
        titles[front.cost]
        for front in figures.costs
        if any(point.on_front and point.arm == arm.name for point in front.points)
    )


def spent(figures: Comparison) -> Table:
    """Return what each arm's search was spent on."""
    states = get_args(State)
    columns = (
        Column("arm", "arm"),
        Column("trials ended", "count", "trials"),
        *(Column(state, "count") for state in states),
        Column("of all: at random", "count", "at random"),
        Column("epochs", "count"),
        Column("training time", "seconds"),
        Column("times measured on", "text", only="page"),
    )
    rows = tuple(
        (
            _label(figures, arm),
            arm.trials,
            *(arm.states[state] for state in states),
            arm.controls,
            arm.epochs,
            arm.worker_seconds,
            "; ".join(map(in_words, arm.paths)),
        )
        for arm in figures.arms
    )
    return Table("Spent in the search", columns, rows)


def finalists(figures: Comparison) -> Table:
    """Return the confirm phase: one row a finalist, the arm's leader first."""
    columns: tuple[Column, ...] = (
        Column("arm", "arm"),
        Column("search trial", "text", "trial"),
        Column("search value", "value", only="page"),
        Column("validation, mean ± sd", "spread", only="page"),
        Column("validation", "value", only="terminal"),
        Column("test, mean ± sd", "spread", "test mean ± sd", strong=True),
        Column("test min", "value", "min"),
        Column("test max", "value", "max"),
        Column(_new(figures), "done", _new(figures).split()[1]),
        Column("parameters", "count"),
        Column("mean training time", "seconds", only="page"),
    )
    rows = tuple(
        _finalist(figures, arm, finalist) for arm in figures.arms for finalist in arm.finalists
    )
    metric = figures.metric.name
    again = f"trained again with {_new(figures)} ({metric})"
    title = f"Finalists, {again}; an arm's first one leads it"
    return Table(title, columns, rows)


def _finalist(figures: Comparison, arm: ArmSummary, finalist: Finalist) -> tuple[Any, ...]:
    test, validation, seconds = finalist.test, finalist.validation, finalist.train_seconds
    return (
        _label(figures, arm, finalist.config.cell),
        str(finalist.number),
        finalist.search_value,
        validation,
        validation and validation.mean,
        test,
        test and test.low,
        test and test.high,
        _done(finalist),
        finalist.parameters,
        seconds and seconds.mean,
    )


def costs(figures: Comparison) -> Table:
    """Return what arms' leaders cost, measured alone after the search; no row before that."""
    target = next((arm.to_target.target for arm in figures.arms if arm.to_target), None)
    reaching = "" if target is None else f"to {figures.metric.name} {format.value(target)}"
    columns: tuple[Column, ...] = (
        Column("arm", "arm"),
        Column("parameters", "count", only="page"),
        Column("one sequence", "milliseconds", "1 sequence"),
        Column("each of 64 at once", "milliseconds", only="page"),
        Column("an epoch of training", "seconds", "an epoch"),
        Column("memory of training", "bytes", "memory"),
        Column("epochs", "setting", only="page"),
        Column(f"training time {reaching}".strip(), "setting", "time"),
        Column("replicates that reach it", "done", "reach it"),
    )
    rows = tuple(
        _cost(figures, arm, arm.leading, alone)
        for arm in figures.arms
        if arm.leading is not None and (alone := arm.leading.alone) is not None
    )
    title = "What the arms' leaders cost, measured alone after the search"
    if reaching:
        title += f"; training {reaching} on validation data, median (95 % interval)"
    else:
        columns, rows = columns[:-3], tuple(row[:-3] for row in rows)
    return Table(title, columns, rows)


def _cost(
    figures: Comparison, arm: ArmSummary, leading: Finalist, alone: AloneTimes
) -> tuple[Any, ...]:
    took = arm.to_target
    return (
        _label(figures, arm, leading.config.cell),
        leading.parameters,
        alone.batch_1_ms,
        alone.sequence_ms,
        alone.epoch_seconds,
        alone.peak_bytes,
        took and format.within(took.epochs, took.epochs_interval, format.plain),
        took and format.within(took.seconds, took.seconds_interval, format.seconds),
        took and (took.reached, took.replicates),
    )


def pairs(verdict: Verdict, arms: Sequence[str] = ()) -> Table:
    """Return the pairs of arms of a verdict: who beats whom, by how much, how sure.

    arms: all arms in their order, where more than the verdict's have a place in it.
    """
    named = [name for pair in verdict.pairs for name in (pair.first, pair.second)]
    places = {name: place for place, name in enumerate(arms or dict.fromkeys(named))}
    percent = f"{100 * verdict.confidence:g} %"
    columns = (
        Column("pair", "pair"),
        Column(f"first one wins ({percent} interval)", "setting", "wins", strong=True),
        Column("mean difference", "signed", "mean"),
        Column(f"{percent} interval of it", "setting", "interval"),
        Column("pairs", "count"),
        Column("decision", "text"),
    )
    margin = f"results within {wording.amount(verdict)} count one half"
    title = f"Pairs of arms; {margin}; intervals of {percent}"
    seen = [pair.seen_from(pair.leader) for pair in verdict.pairs]  # as in the figure
    return Table(title, columns, tuple(_pair(pair, places) for pair in seen))


def _pair(pair: PairVerdict, places: Mapping[str, int]) -> tuple[Any, ...]:
    bounds = pair.difference_interval
    return (
        tuple(ArmLabel(name, places[name]) for name in (pair.first, pair.second)),
        format.share(pair.probability, pair.interval),
        pair.difference,
        format.ABSENT if bounds is None else format.bounds(*bounds),
        pair.pairs,
        wording.decision(pair),
    )


def _label(figures: Comparison, arm: ArmSummary, cell: str | None = None) -> ArmLabel:
    return ArmLabel(arm.name, figures.arms.index(arm), cell if arm.pooled else None)


def _done(finalist: Finalist | None) -> tuple[int, int] | None:
    if finalist is None:
        return None
    return finalist.test.n if finalist.test else 0, finalist.seeds
