"""What a task of forecasting asks: how far ahead, and what a model says of each step there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, StrictBool, model_validator

from spaces.fields import Fault, Integer, Number, refusal
from spaces.kinds import Likelihood, Metric, metrics_of
from spaces.task_section import TaskSection

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

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Return what dataclasses.asdict made plain. Raises TypeError."""
        lists = {name: tuple(plain[name]) for name in ("quantiles", "future") if name in plain}
        return cls(**{**plain, **lists})

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


class ForecastSection(TaskSection):
    """What a job file says of forecasting."""

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

    @property
    def steps_ahead(self) -> int:
        """Steps that are forecast."""
        return self.horizon or 1

    @property
    def reads_relative(self) -> bool:
        """Whether a model reads how far values lie from the last one that it reads."""
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
        return Forecast(likelihood, quantiles, self.future, self.reads_relative)

    @property
    def offered_metrics(self) -> tuple[Metric, ...]:
        """The metrics that may decide the job, the default one first."""
        return metrics_of(self.of_kind, self.likelihood or "point")

    @model_validator(mode="after")
    def _check_forecast(self) -> Self:
        faults = []
        if self.of_kind != "forecasting":
            for name in ("horizon", "window", "season", "likelihood", "quantiles", "relative"):
                if getattr(self, name) is not None:
                    rule = f"{name} must be given for forecasting alone, not for {self.of_kind}"
                    faults.append(Fault(rule, "remove it", (name,)))
        elif self.season_steps is not None and self.season_steps > self.steps_read:
            rule = f"season must be at most the window of {self.steps_read} steps"
            faults.append(Fault(rule, f"write window: {self.season_steps}", ("season",)))
        elif self.quantiles is not None:
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
