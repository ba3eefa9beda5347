"""What a task of forecasting asks: how far ahead, and what a model says of each step there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from spaces.fields import Fault, Integer, Number, refusal
from spaces.kinds import Likelihood, Metric, metrics_of, told_of_series
from spaces.task_section import TaskSection
from spaces.text import named

#: What is done to values before they are scaled; see trainables.data.transforms.
Transform = Literal["log", "signed-log"]
#: Keys that no other kind of task has.
_OF_FORECASTING = (
    "horizon",
    "window",
    "season",
    "likelihood",
    "quantiles",
    "relative",
    "difference",
)
MEDIAN = 0.5
QUANTILES = (0.1, MEDIAN, 0.9)  #: by default


@dataclass(frozen=True)
class Forecast:
    """What a model's outputs say of the steps ahead.

    Outputs are [numbers * horizon], all steps of the first number first:

        point     the value
        gaussian  the mean, then the standard deviation
        quantile  each quantile, the lowest first
    """

    likelihood: Likelihood = "point"
    quantiles: tuple[float, ...] = ()
    future: tuple[str, ...] = ()  #: columns of which a model reads the values a horizon later
    relative: bool = False  #: whether it reads how far values lie from the last one that it reads
    #: Steps between the values whose differences it reads; None: it reads values.
    difference: int | None = None

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what dataclasses.asdict made plain. Raises TypeError."""
        lists = {name: tuple(plain[name]) for name in ("quantiles", "future") if name in plain}
        return cls(**{**plain, **lists})

    @property
    def lag(self) -> int:
        """Steps back from a value to the one that its naive forecast, and a difference, is of."""
        return self.difference or 1

    @property
    def unread(self) -> int:
        """Steps at the beginning of a series that no window has: they have no difference."""
        return self.difference or 0

    @property
    def numbers(self) -> int:
        """How many numbers say what one step ahead may be."""
        return {"point": 1, "gaussian": 2, "quantile": len(self.quantiles)}[self.likelihood]

    @property
    def central(self) -> int:
        """Which of these numbers is the forecast: the value, the mean or the median."""
        return self.quantiles.index(MEDIAN) if self.likelihood == "quantile" else 0

    def is_value(self, number: int) -> bool:
        """Whether a number is a value of the series, and not a deviation."""
        return not (self.likelihood == "gaussian" and number == 1)

    def name(self, number: int) -> str:
        """Return what a number is called in tables of predictions."""
        if self.likelihood == "quantile":
            return f"quantile_{self.quantiles[number]:g}"
        return ("prediction", "deviation")[number]


@dataclass(frozen=True)
class LeftOut:
    """Series that are too short for a window in a part, and so are not in it."""

    part: str  #: training, validation or test
    number: int
    of: int  #: series that there are
    names: tuple[str | int, ...]  #: of the first ones

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what dataclasses.asdict made plain. Raises KeyError and TypeError."""
        return cls(**{**plain, "names": tuple(plain["names"])})

    @property
    def sentence(self) -> str:
        """What a user is told."""
        shown = ", ".join(named(str(name)) for name in self.names) + ", …" * (
            self.number > len(self.names)
        )
        verb = "is" if self.number == 1 else "are"
        return (
            f"{self.number} of {self.of} series {verb} too short for a window and the steps ahead "
            f"in the {self.part} part, and {verb} not in it: {shown}"
        )


class ForecastSection(TaskSection):
    """What a job file says of forecasting, and what is done to values before."""

    transform: Transform | None = Field(
        None,
        description="Of features, before they are scaled: log is log(1 + value), of values from 0 "
        "on; signed-log that of the magnitude, with the sign. Of forecasting it is the series that "
        "is forecast, and forecasts are values of the series all the same.",
    )

    horizon: Integer | None = Field(
        None, ge=1, description="Of forecasting: steps ahead that are forecast."
    )
    window: Integer | None = Field(
        None,
        ge=1,
        description="Of forecasting: steps that a model reads; null is two horizons, or a season "
        "where that is longer.",
    )
    season: Integer | None = Field(
        None,
        ge=2,
        description="Of forecasting: steps after which a series repeats, at most window; for the "
        "seasonal naive forecast that arms are held against, and for mase.",
    )
    likelihood: Likelihood | None = Field(
        None,
        description="Of forecasting: what a model says of each step ahead. point (null) is a "
        "value, by squared errors; gaussian a mean and a deviation, by the negative log-"
        "likelihood; quantile the quantiles, by pinball loss.",
    )
    quantiles: tuple[Number, ...] | None = Field(
        None,
        description="Of likelihood quantile: between 0 and 1, ascending, 0.5 among them; null is "
        f"{', '.join(map(str, QUANTILES))}.",
    )

    relative: StrictBool | None = Field(
        None,
        description="Of forecasting: whether a model reads how far the series' values lie from the "
        "last one that it reads, so that a new level is no obstacle; null is true for built-in "
        "series and false for own data.",
    )
    difference: Integer | None = Field(
        None,
        ge=1,
        description="Of forecasting: read differences from the value so many steps before, and "
        "forecast how far values lie from the naive forecast of so many steps: 1, or the season; "
        "at most window. Forecasts are values of the series all the same.",
    )

    @property
    def steps_ahead(self) -> int:
        """Steps that are forecast."""
        return self.horizon or 1

    @property
    def reads_relative(self) -> bool:
        """Whether a model reads how far values lie from the last one that it reads."""
        return self.difference is None and self._relative_unless_told

    @property
    def _relative_unless_told(self) -> bool:
        """What relative is, where null has its default."""
        return bool(self.relative)

    @property
    def steps_read(self) -> int:
        """Steps that a model reads before it forecasts."""
        return self.window or max(2 * self.steps_ahead, self.season or 1)

    @property
    def season_steps(self) -> int | None:
        """Steps after which a series repeats."""
        return self.season

    @property
    def future(self) -> tuple[str, ...]:
        """Columns whose values at the steps ahead are known."""
        return ()

    @property
    def forecast(self) -> Forecast:
        """What a model says of the steps ahead."""
        likelihood = self.likelihood or "point"
        quantiles = (self.quantiles or QUANTILES) if likelihood == "quantile" else ()
        return Forecast(likelihood, quantiles, self.future, self.reads_relative, self.difference)

    @property
    def offered_metrics(self) -> tuple[Metric, ...]:
        """The metrics that may decide the job, the default one first."""
        offered = metrics_of(self.of_kind, self.likelihood or "point")
        of_transformed = self.of_kind == "forecasting" and self.transform is not None
        return told_of_series(offered) if of_transformed else offered

    @model_validator(mode="after")
    def _check_forecast(self) -> Self:
        faults = []
        if self.of_kind != "forecasting":
            for name in _OF_FORECASTING:
                if getattr(self, name) is not None:
                    rule = f"{name} must be given for forecasting alone, not for {self.of_kind}"
                    faults.append(Fault(rule, "remove it", (name,)))
            if faults:
                raise refusal(faults)
            return self
        for name, steps in (("season", self.season_steps), ("difference", self.difference)):
            if steps is not None and steps > self.steps_read:
                rule = f"{name} must be at most the window of {self.steps_read} steps"
                faults.append(Fault(rule, f"write window: {steps}", (name,)))
        if self.difference is not None and self.relative:
            rule = "relative must not be given with difference: differences have no level"
            faults.append(Fault(rule, "remove one of them", ("relative",)))
        if self.transform is not None and self.likelihood == "gaussian":
            rule = "likelihood must not be gaussian with transform: a deviation of logarithms is "
            rule += "none of values"
            faults.append(Fault(rule, "write likelihood: quantile", ("likelihood",)))
        if not faults and self.quantiles is not None:
            faults += self._quantile_faults(self.quantiles)
        if faults:
            raise refusal(faults)
        return self

    def _quantile_faults(self, quantiles: tuple[float, ...]) -> list[Fault]:
        if self.likelihood != "quantile":
            rule = "quantiles must be given with likelihood: quantile alone"
            return [Fault(rule, "write likelihood: quantile, or remove them", ("quantiles",))]
        between = all(0 < quantile < 1 for quantile in quantiles)
        if between and MEDIAN in quantiles and sorted(set(quantiles)) == list(quantiles):
            return []
        rule = "quantiles must be between 0 and 1, ascending, with 0.5 among them: the forecast"
        return [Fault(rule, "write quantiles: [0.1, 0.5, 0.9]", ("quantiles",))]
