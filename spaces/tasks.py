"""What is known of a task without its data: its part of the job file, its kind and its sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from spaces.archived import ARCHIVED
from spaces.fields import Fault, Integer, refusal
from spaces.forecast import Forecast, ForecastSection, LeftOut, Transform
from spaces.inputs import Inputs, Told
from spaces.kinds import BY_CHARACTER, FORMULAS, Metric, TaskKind, evaluated, is_causal, is_stepwise
from spaces.own_data import Columns, Label, Missing, TrainedVocabulary
from spaces.own_task import OwnData
from spaces.series import SERIES
from spaces.task_section import TaskSection
from spaces.text import show


@dataclass(frozen=True)
class TaskInfo:
    """The shape of a loaded task, as models and reports need it."""

    name: str  #: "japanese-vowels", or the stem of the user's data file
    kind: TaskKind
    inputs: int  #: features a step, or the size of the vocabulary (symbols enter one-hot)
    outputs: int  #: classes, vocabulary, labels (of a frame), or numbers of a regression
    longest: int  #: steps of the longest sequence over all splits
    metric: Metric  #: the one that the job is decided by
    fingerprint: str = ""  #: sha256 over all splits; identifies the data in tracking and report
    #: Of own data, the user's own name of each class or symbol; None where they are 0, 1, 2, ….
    labels: tuple[Label, ...] | None = None
    columns: Columns | None = None  #: of own data from a table: how it was read
    missing: Missing = "refuse"  #: what is made of missing values
    gaps: bool = False  #: whether the last input is the time since the step before
    transform: Transform | None = None  #: of features, or of the series that is forecast
    #: What a model reads and says of the steps ahead; None for other kinds, and for points from
    #: values as they are, without columns whose future is known.
    forecast: Forecast | None = None
    left_out: tuple[LeftOut, ...] = ()  #: of forecasting, series that are not in a part
    #: Of own text: how raw text becomes the symbols `labels`; None where each is a character.
    vocabulary: TrainedVocabulary | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what dataclasses.asdict made plain: in a journal, a weights file or an export."""
        labels, columns, forecast = map(plain.get, ("labels", "columns", "forecast"))
        typed = {
            "metric": Metric(**plain["metric"]),
            "labels": None if labels is None else tuple(labels),
            "columns": None if columns is None else Columns.from_dict(columns),
            "forecast": None if forecast is None else Forecast.from_dict(forecast),
            "left_out": tuple(map(LeftOut.from_dict, plain.get("left_out", ()))),
        }
        return cls(**{**plain, **typed})

    @property
    def sizes(self) -> tuple[Inputs, int]:
        """Inputs, told apart, and outputs."""
        rest = self.inputs - self.gaps
        features = rest // 3 if self.missing == "mask" else 0
        return Inputs(rest - 2 * features, Told(features, self.gaps)), self.outputs

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that an evaluation of the task returns."""
        told = {"characters": self.in_characters, "transformed": self.of_transformed}
        return evaluated(self.kind, self.metric, self.ahead.likelihood, **told)

    @property
    def ahead(self) -> Forecast:
        """What the outputs of a forecast say of the steps ahead."""
        return self.forecast or Forecast()

    @property
    def steps_ahead(self) -> int:
        """How many steps are forecast."""
        return self.outputs // self.ahead.numbers

    @property
    def central(self) -> slice:
        """Which outputs are a forecast's own values: the points, the means or the medians."""
        steps = self.steps_ahead
        return slice(self.ahead.central * steps, (self.ahead.central + 1) * steps)

    @property
    def of_transformed(self) -> bool:
        """Whether what is learned are not values of the data: those of a series, transformed."""
        return self.kind == "forecasting" and self.transform is not None

    @property
    def in_characters(self) -> bool:
        """Whether its figures are told a character too."""
        return self.vocabulary is not None or self.metric.name == BY_CHARACTER

    @property
    def by_part(self) -> bool:
        """Whether the metric that decides needs all predictions of a part at once."""
        return self.metric.name not in FORMULAS

    @property
    def causal(self) -> bool:
        """Whether a model must not see the future (next-token and next-step tasks)."""
        return is_causal(self.kind)

    @property
    def stepwise(self) -> bool:
        """Whether a model gives an output at every step (also for tagging)."""
        return is_stepwise(self.kind)


class BuiltIn(TaskSection):
    """A task that needs no file of the user's."""

    kind_of_task: ClassVar[TaskKind]
    generated: ClassVar[bool] = False  #: whether another seed gives other data
    summary: ClassVar[str]  #: one line for `gatesearch tasks`
    name: str

    @classmethod
    def summary_of(cls, name: str) -> str:
        """Return one line on the task of a name, for `gatesearch tasks`."""
        return cls.summary

    @property
    def of_kind(self) -> TaskKind:
        """The task's kind."""
        return self.kind_of_task

    @property
    def label(self) -> str:
        """The task's name."""
        return self.name


class JapaneseVowels(BuiltIn):
    """Nine speakers, recognised by how they say two vowels."""

    form = "<japanese-vowels>"
    kind_of_task = "classification"
    summary = "nine speakers by two vowels; real, 12 features, 7 to 29 steps"
    name: Literal["japanese-vowels"] = Field(description="Built-in task.")


class Symbolic(BuiltIn):
    """The next symbol of a string of a chosen LZ complexity, after Cahuantzi et al."""

    form = "<symbolic>"
    kind_of_task = "next-token"
    generated = True
    summary = "next symbol of a string of a chosen LZ complexity; generated"
    name: Literal["symbolic"] = Field(description="Built-in task.")
    complexity: Integer = Field(
        ge=2, description="Codes that LZW emits for the string that is repeated; at least symbols."
    )
    symbols: Integer = Field(4, ge=2, description="Size of the alphabet.")
    length: Integer = Field(3500, ge=10, description="Symbols of the whole string.")
    window: Integer = Field(100, ge=2, description="Symbols of one sequence.")
    scored: Literal["all", "last"] = Field(
        "all",
        description="Whose next symbol is predicted: of all of a window, or of the last one alone, "
        "which makes it a classification.",
    )

    @property
    def of_kind(self) -> TaskKind:
        """next-token; classification where the last position alone is scored."""
        return "classification" if self.scored == "last" else self.kind_of_task

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        _check_window(self.window, self.length, "length")
        return self


class Characters(BuiltIn):
    """The next character of English prose: the manual pages in Python's standard library."""

    form = "<characters>"
    kind_of_task = "next-token"
    summary = "next character of Python's own manual pages; real English prose"
    name: Literal["characters"] = Field(description="Built-in task.")
    window: Integer = Field(100, ge=2, description="Characters that are predicted in one sequence.")
    limit: Integer | None = Field(
        None, ge=1000, description="Characters read from the text's beginning; null is all of it."
    )

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.limit is not None:
            _check_window(self.window, self.limit, "limit")
        return self


class Words(BuiltIn):
    """The next word of English prose: the text of characters."""

    form = "<words>"
    kind_of_task = "next-token"
    summary = "next word of Python's own manual pages; real English prose"
    name: Literal["words"] = Field(description="Built-in task.")
    window: Integer = Field(35, ge=2, description="Words that are predicted in one sequence.")
    vocabulary: Integer = Field(
        1000, ge=2, description="Words that are told apart, the rarer ones as one."
    )


class Adding(BuiltIn):
    """The adding problem: the sum of the two marked numbers of a long sequence."""

    form = "<adding>"
    kind_of_task = "regression"
    generated = True
    summary = "sum of the two marked numbers of a sequence; generated"
    name: Literal["adding"] = Field(description="Built-in task.")
    length: Integer = Field(50, ge=2, description="Steps of every sequence.")
    examples: Integer = Field(2000, ge=10, description="Sequences over all splits.")


class Archive(BuiltIn):
    """A classification of the UCR and UEA archives, with its official test part."""

    form = "<archive>"
    kind_of_task = "classification"
    name: Literal[tuple(ARCHIVED)] = Field(  # type: ignore[valid-type]
        description="Built-in task."
    )

    @classmethod
    def summary_of(cls, name: str) -> str:
        """Return one line on the task of a name."""
        return ARCHIVED[name].summary


class Series(BuiltIn, ForecastSection):
    """Forecasts of a known series, or of many."""

    form = "<series>"
    kind_of_task = "forecasting"
    name: Literal["airline", "co2", "m1-yearly", "solar", "sunspots"] = Field(
        description="Built-in task."
    )

    @classmethod
    def summary_of(cls, name: str) -> str:
        """Return one line on the task of a name."""
        return SERIES[name].summary

    @property
    def steps_ahead(self) -> int:
        """Steps that are forecast."""
        return self.horizon or SERIES[self.name].horizon

    @property
    def steps_read(self) -> int:
        """Steps that a model reads before it forecasts."""
        return self.window or max(2 * self.steps_ahead, self.season_steps or 1)

    @property
    def _relative_unless_told(self) -> bool:
        """What relative is, where null has its default."""
        return self.relative is not False

    @property
    def season_steps(self) -> int | None:
        """Steps after which the series repeats."""
        return self.season or SERIES[self.name].season


class Digits(BuiltIn):
    """Ten handwritten digits, read row by row or pixel by pixel."""

    form = "<digits>"
    kind_of_task = "classification"
    summary = "ten handwritten digits, read by rows or by pixels; real, 8x8 pixels"
    name: Literal["digits"] = Field(description="Built-in task.")
    by: Literal["rows", "pixels"] = Field(
        "rows", description="8 steps of 8 features, or 64 steps of one feature."
    )


class Parity(BuiltIn):
    """Whether a sequence of bits has an odd number of ones."""

    form = "<parity>"
    kind_of_task = "classification"
    generated = True
    summary = "whether the number of ones among some bits is odd; generated"
    name: Literal["parity"] = Field(description="Built-in task.")
    length: Integer = Field(16, ge=2, description="Bits of every sequence.")
    examples: Integer = Field(2000, ge=10, description="Sequences over all splits.")


class AssociativeRecall(BuiltIn):
    """The value that stood beside a key: some pairs are shown, then one of their keys."""

    form = "<associative-recall>"
    kind_of_task = "classification"
    generated = True
    summary = "the digit that was shown beside a letter; generated"
    name: Literal["associative-recall"] = Field(description="Built-in task.")
    pairs: Integer = Field(4, ge=1, le=26, description="Letters with a digit each.")
    examples: Integer = Field(4000, ge=10, description="Sequences over all splits.")


class Dyck(BuiltIn):
    """Which of two brackets must be closed next: a Dyck-2 language, of a bounded depth."""

    form = "<dyck-2>"
    kind_of_task = "classification"
    generated = True
    summary = "which of two kinds of nested brackets must close next; generated"
    name: Literal["dyck-2"] = Field(description="Built-in task.")
    length: Integer = Field(30, ge=2, description="Brackets of every sequence, at most.")
    depth: Integer = Field(5, ge=1, description="Brackets that are open at once, at most.")
    examples: Integer = Field(2000, ge=10, description="Sequences over all splits.")


class CopyMemory(BuiltIn):
    """Some symbols, to be written down again after a long pause."""

    form = "<copy-memory>"
    kind_of_task = "tagging"
    generated = True
    summary = "some symbols, to be written down again after a pause; generated"
    name: Literal["copy-memory"] = Field(description="Built-in task.")
    pause: Integer = Field(50, ge=1, description="Steps between the symbols and their copy.")
    copied: Integer = Field(10, ge=1, description="Symbols to be remembered.")
    symbols: Integer = Field(8, ge=2, description="Different symbols that there are.")
    examples: Integer = Field(2000, ge=10, description="Sequences over all splits.")


class BachChorales(BuiltIn):
    """The next frame of Bach's four-part chorales as piano rolls."""

    form = "<bach-chorales>"
    kind_of_task = "next-step"
    summary = "next chord of Bach's chorales, one a quarter note; real, needs music21"
    name: Literal["bach-chorales"] = Field(description="Built-in task.")


def _check_window(window: int, steps: int, name: str) -> None:
    if window >= steps:
        rule = f"a window of {show(window)} must be below the {name} of {show(steps)}"
        raise refusal([Fault(rule, f"use a window below the {name}", ("window",))])


#: The built-in tasks by name.
TASKS: dict[str, type[BuiltIn]] = {
    name: task
    for task in (
        JapaneseVowels,
        Symbolic,
        Characters,
        Words,
        Adding,
        Digits,
        Parity,
        AssociativeRecall,
        Dyck,
        CopyMemory,
        BachChorales,
        Archive,
        Series,
    )
    for name in get_args(task.model_fields["name"].annotation)
}


def _form(value: Any) -> str:
    """Return which form a task has."""
    if isinstance(value, TaskSection):
        return value.form
    if isinstance(value, dict) and isinstance(name := value.get("name"), str):
        return TASKS[name].form if name in TASKS else f"<{name}>"
    if isinstance(value, dict) and {"kind", "data"} & value.keys():
        return OwnData.form
    return "<unknown>"


TaskSpec = Annotated[
    Annotated[JapaneseVowels, Tag(JapaneseVowels.form)]
    | Annotated[Symbolic, Tag(Symbolic.form)]
    | Annotated[Characters, Tag(Characters.form)]
    | Annotated[Words, Tag(Words.form)]
    | Annotated[Adding, Tag(Adding.form)]
    | Annotated[Digits, Tag(Digits.form)]
    | Annotated[Parity, Tag(Parity.form)]
    | Annotated[AssociativeRecall, Tag(AssociativeRecall.form)]
    | Annotated[Dyck, Tag(Dyck.form)]
    | Annotated[CopyMemory, Tag(CopyMemory.form)]
    | Annotated[BachChorales, Tag(BachChorales.form)]
    | Annotated[Archive, Tag(Archive.form)]
    | Annotated[Series, Tag(Series.form)]
    | Annotated[OwnData, Tag(OwnData.form)],
    Discriminator(_form),
]
