"""A task on the user's own data, as a job file has it."""

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from spaces.fields import Fault, refusal
from spaces.forecast import ForecastSection
from spaces.kinds import TaskKind, is_causal, predicts_itself
from spaces.own_data import SHORT, DataSection, several
from spaces.text import show

#: How features and targets are brought to one scale; see trainables.data.scaling.
Scaling = Literal["standard", "robust", "min-max", "none"]


class OwnData(ForecastSection):
    """The user's own data, from a file without pickles or made by a class."""

    form = "<own data>"

    kind: TaskKind = Field(
        description="What is predicted: a class, labels or numbers for each sequence, a class for "
        "each step, the next steps of a series, the next symbol, or the next frame."
    )
    data: Annotated[DataSection, SHORT] = Field(
        description="A file, or a mapping of a file and the columns of its table."
    )
    standardise: StrictBool = Field(
        True,
        description="Whether features and regression targets get mean 0 and deviation 1 in the "
        "training part; predictions are in the data's own units all the same, and so are figures, "
        "but for loss and those of several targets.",
    )
    scaling: Scaling | None = Field(
        None,
        description="How features and regression targets are scaled, fitted on the training part: "
        "standard (mean and deviation), robust (median and quartiles), min-max (to 0 to 1), or "
        "none; null is as standardise says.",
    )

    @property
    def scaled_by(self) -> Scaling:
        """How features and targets are scaled."""
        return self.scaling or ("standard" if self.standardise else "none")

    @property
    def future(self) -> tuple[str, ...]:
        """Columns whose values at the steps ahead are known."""
        return self.data.future or ()

    @model_validator(mode="after")
    def _check_forecasting(self) -> Self:
        faults = []
        forecasts = self.kind == "forecasting"
        if forecasts and self.horizon is None:
            rule = "horizon must say how many steps ahead are forecast"
            faults.append(Fault(rule, "write horizon: 1, or more", ("horizon",)))
        if self.future and not forecasts:
            rule = f"future must be given for forecasting alone, not for {self.kind}"
            faults.append(Fault(rule, "remove it, or name features", ("data", "future")))
        if self.future and forecasts and self.steps_read < self.steps_ahead:
            rule = f"window must be at least the horizon of {self.steps_ahead} steps with future"
            faults.append(Fault(rule, f"write window: {self.steps_ahead}", ("window",)))
        for role in ("split", "group", "test") if forecasts else ():
            if getattr(self.data, role) is not None:
                rule = f"{role} must not be given for forecasting, whose parts follow time"
                faults.append(Fault(rule, "remove it", ("data", role)))
        if forecasts and not (self.data.is_table or self.data.has_arrays):
            rule = f"series must be in a table or an .npz, not in {show(self.data.file)}"
            faults.append(Fault(rule, "write them as .csv, .parquet or .npz", ("data", "file")))
        if faults:
            raise refusal(faults)
        return self

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        of_columns, targets = self.data.is_table or self.data.is_folder, several(self.data.target)
        if self.kind == "multi-label":
            if not (self.data.has_arrays or of_columns):
                rule = f"multi-label data must be a table or an .npz, not {show(self.data.file)}"
                remedy = "write a column of 0 and 1 for each label, in a .csv or .parquet"
                raise refusal([Fault(rule, remedy, ("data", "file"))])
            if len(targets) == 1 or (self.data.is_folder and not targets):
                rule = "target must name a column for each label, two or more, for multi-label"
                remedy = "write target: [A, B], or choose kind: classification"
                raise refusal([Fault(rule, remedy, ("data", "target"))])
        elif len(targets) > 1 and self.kind != "regression":
            rule = f"target must be one column for {self.kind}, not {len(targets)}"
            remedy = "name one, or choose kind: multi-label or regression"
            raise refusal([Fault(rule, remedy, ("data", "target"))])
        if predicts_itself(self.kind) and self.data.missing != "refuse":
            rule = f"missing must be refuse for {self.kind}: the values are what is predicted"
            raise refusal([Fault(rule, "fill the gaps, and remove the key", ("data", "missing"))])
        if is_causal(self.kind) and self.transform is not None:
            rule = f"transform must not be given for {self.kind}: the values are what is predicted"
            raise refusal([Fault(rule, "remove it", ("transform",))])
        if predicts_itself(self.kind) and self.data.time_gaps:
            rule = f"time_gaps must not be given for {self.kind}: all inputs are what is predicted"
            raise refusal([Fault(rule, "remove the key", ("data", "time_gaps"))])
        return self

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if not self.data.is_table:
            return self
        missing = {"id": "which sequence a row is of", "target": "what is predicted"}
        faults = []
        for role, what in missing.items():
            if is_causal(self.kind) or getattr(self.data, role) is not None:
                continue
            if self.kind == "forecasting" and role == "id":  # one series
                continue
            rule = f"{role} must name the column that says {what}, for {self.kind}"
            remedy = f"write data: {{file: {self.data.file}, {role}: COLUMN, …}}; `gatesearch init "
            faults.append(Fault(rule, f"{remedy}{self.data.file}` finds it", ("data", role)))
        if is_causal(self.kind) and self.data.target is not None:
            rule = f"target must not be given for {self.kind}: the next step is what is predicted"
            faults.append(Fault(rule, "remove it", ("data", "target")))
        if faults:
            raise refusal(faults)
        return self

    @property
    def of_kind(self) -> TaskKind:
        """The task's kind."""
        return self.kind

    @property
    def label(self) -> str:
        """The stem of the data file."""
        return PurePath(self.data.file).stem
