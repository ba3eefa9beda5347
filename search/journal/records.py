"""What the records of a journal may hold, checked where a journal is read.

A journal may come from elsewhere: fetched from a cluster, copied, mended by hand. What its records
say becomes names of files, figures and text on pages. So each of them is checked before anything is
done with it. Keys that this version does not know are passed over.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from search.journal.base import JournalError
from spaces.config import TrialConfig
from spaces.forecast import MEDIAN, Forecast, Transform
from spaces.kinds import METRICS, Likelihood
from spaces.own_data import Missing, TrainedVocabulary
from spaces.tasks import TaskInfo
from spaces.text import show
from trainables.checkpoints.base import is_checkpoint_name
from trainables.training.measured_path import is_measured_path

REMEDY = "Restore the journal from a copy, or start the job under another name."

_Count = Annotated[int, Field(ge=0, le=2**53)]
#: Unix time in milliseconds, of a clock that may be wrong, within the calendar.
_Time = Annotated[int, Field(ge=-60_000_000_000_000, le=250_000_000_000_000)]
#: Far beyond what a training gives; the square of such a number is still a number.
_Number = Annotated[float, Field(ge=-1e100, le=1e100)]
_Phase = Literal["search", "confirm"]


def _checkpoint(name: Any) -> Any:
    if isinstance(name, str) and not is_checkpoint_name(name):
        raise ValueError("must be the name of a checkpoint, which is no path")
    return name


def _path(text: Any) -> Any:
    if isinstance(text, str) and not is_measured_path(text):
        raise ValueError("must name path, device and precision, as engine/cpu/float32 does")
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Record(_Strict):
    time: _Time = 0


class _Driver(_Record):
    record: Literal["driver"]
    generation: _Count
    pid: Annotated[int, Field(ge=1, le=2**31)]
    host: str
    time: _Time


class _Metric(_Record):
    name: str
    direction: Literal["minimize", "maximize"]


class _Feature(_Strict):
    name: str
    categories: list[str] | None


class _Columns(_Strict):
    features: list[_Feature]
    id: str | None
    time: str | None
    target: str | list[str] | None
    split: str | None
    group: str | None


class _Forecast(_Strict):
    likelihood: Likelihood
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]]
    future: list[str]
    relative: bool = False
    difference: Annotated[int | None, Field(ge=1, le=2**31)] = None

    @model_validator(mode="after")
    def _check_quantiles(self) -> Self:
        if (self.likelihood == "quantile") != (MEDIAN in self.quantiles):
            raise ValueError("must have quantiles, the median among them, for quantile alone")
        return self


class _LeftOut(_Strict):
    part: str
    number: Annotated[int, Field(ge=1, le=2**53)]
    of: Annotated[int, Field(ge=1, le=2**53)]
    names: list[str | int]


class _Task(_Record):
    name: str
    kind: Literal[tuple(METRICS)]  # type: ignore[valid-type]
    inputs: Annotated[int, Field(ge=1, le=2**31)]
    outputs: Annotated[int, Field(ge=1, le=2**31)]
    longest: Annotated[int, Field(ge=1, le=2**53)]
    metric: _Metric
    fingerprint: str
    labels: list[str | int] | None = None
    columns: _Columns | None = None
    missing: Missing = "refuse"
    gaps: bool = False
    transform: Transform | None = None
    forecast: _Forecast | None = None
    left_out: list[_LeftOut] = []
    vocabulary: TrainedVocabulary | None = None

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        forecast = self.forecast and Forecast.from_dict(self.forecast.model_dump())
        numbers = forecast.numbers if forecast else 1
        if self.labels is not None and len(self.labels) * numbers != self.outputs:
            raise ValueError("must have a label for each output")
        return self


class _Job(_Record):
    record: Literal["job"]
    spec: dict[str, Any]
    base: str
    task: _Task
    common_controls: bool = False
    file: str | None = None


class _Baseline(_Record):
    name: str
    validation: dict[str, _Number]
    test: dict[str, _Number]
    test_sequences: Annotated[int | None, Field(ge=1, le=2**53)] = None
    search_sequences: Annotated[int | None, Field(ge=1, le=2**53)] = None
    train_sequences: Annotated[int | None, Field(ge=1, le=2**53)] = None


class _Baselines(_Record):
    record: Literal["baselines"]
    baselines: list[_Baseline]
    time: _Time


class _Trial(_Record):
    record: Literal["trial"]
    key: str
    phase: _Phase
    arm: str
    number: _Count
    control: bool
    config: dict[str, Any]
    seed: int
    finalist: _Count | None = None
    replicate: _Count | None = None
    split: _Count | None = None
    candidate: _Count | None = None
    time: _Time

    @model_validator(mode="after")
    def _check_replicate(self) -> Self:
        named = self.finalist is not None or self.candidate is not None
        if self.phase == "confirm" and (self.replicate is None or not named):
            raise ValueError("must name its replicate, and its finalist or candidate")
        if self.phase == "search" and (named or self.replicate is not None):
            raise ValueError("must not be a replicate in the search")
        return self


class _Epoch(_Record):
    epoch: Annotated[int, Field(ge=1, le=10**9)]
    train_loss: _Number
    value: _Number
    seconds: _Number
    metrics: dict[str, _Number] = {}
    gradient_norm: _Number | None = None


class _Report(_Record):
    record: Literal["report"]
    key: str
    generation: _Count
    epochs: list[_Epoch]
    checkpoint: Annotated[str | None, BeforeValidator(_checkpoint)] = None
    parameters: _Count | None = None
    latency_ms: _Number | None = None
    path: Annotated[str | None, BeforeValidator(_path)] = None
    stored: dict[str, _Count] = {}


class _Stored(_Strict):
    bytes: _Count
    limit_gb: _Number


class _Full(_Record):
    record: Literal["full"]
    full: _Stored
    time: _Time


class _Retry(_Record):
    record: Literal["retry"]
    key: str
    reason: str
    counted: bool = True
    time: _Time


class _Pause(_Record):
    record: Literal["pause"]
    key: str
    time: _Time


class _Thaw(_Record):
    record: Literal["thaw"]
    key: str
    finish: bool
    time: _Time


class _Scores(_Record):
    name: Annotated[str, BeforeValidator(_checkpoint)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _End(_Record):
    record: Literal["end"]
    key: str
    state: Literal["complete", "pruned", "diverged", "failed"]
    reason: str | None = None
    test: dict[str, _Number] | None = None
    training: dict[str, _Number] | None = None
    scores: _Scores | None = None
    time: _Time


class _WarmStart(_Record):
    record: Literal["warm_start"]
    job: str
    trials: dict[str, _Count]
    may_have_seen_test: bool
    time: _Time


class _LearnedRates(_Record):
    record: Literal["learned_rates"]
    jobs: list[str]
    decades: dict[str, Annotated[float, Field(ge=-100, le=100)]]
    unequal: _Count
    overlapping: _Count
    time: _Time


class _Test(_Record):
    record: Literal["test"]
    key: str
    test: dict[str, _Number] | None = None
    training: dict[str, _Number] | None = None
    scores: _Scores | None = None
    stored: dict[str, _Count] = {}
    reason: str | None = None
    time: _Time


class _Extend(_Record):
    record: Literal["extend"]
    trials: _Count
    seeds: _Count
    replicates: _Count = 0
    time: _Time


class _PhaseBegun(_Record):
    record: Literal["phase"]
    phase: Literal["search", "confirm", "report", "done"]
    time: _Time


class _Alone(_Record):
    record: Literal["alone"]
    key: str
    batch_1_ms: _Number
    batch_64_ms: _Number | None
    path: Annotated[str, BeforeValidator(_path)]
    threads: _Count
    epoch_seconds: _Number | None = None
    peak_bytes: _Count | None = None
    training_path: Annotated[str, BeforeValidator(_path)] | None = None
    time: _Time


class _Mirrored(_Strict):
    server: Annotated[str, Field(pattern="^(https?|sqlite):")] | None
    experiment_id: Annotated[str, Field(pattern="^[0-9]+$")] | None
    runs: dict[str, str]


class _Runs(_Record):
    record: Literal["runs"]
    runs: _Mirrored
    time: _Time


class _Later(_Record):
    """Of a kind that this version does not know."""


_FORMS = (
    _Driver,
    _Job,
    _WarmStart,
    _LearnedRates,
    _Baselines,
    _Trial,
    _Report,
    _Retry,
    _Pause,
    _Thaw,
    _End,
    _Test,
    _Extend,
    _PhaseBegun,
    _Alone,
    _Runs,
    _Full,
)
_CHECKS: dict[str, TypeAdapter[Any]] = {
    form.model_fields["record"].annotation.__args__[0]: TypeAdapter(form)  # type: ignore[union-attr]
    for form in _FORMS
}

_LATER = TypeAdapter(_Later)


def known_part(record: dict[str, Any]) -> Any:
    """Return what a record of one entry tells, without keys that this version does not know."""
    told = record[record["record"]]
    forms: dict[str, type[BaseModel]] = {"runs": _Mirrored, "full": _Stored}
    form = forms.get(record["record"])
    return {name: told[name] for name in form.model_fields} if form else told


def check_task(plain: Any) -> TaskInfo:
    """Return a task that is stored as plain JSON types. Raises ValueError or TypeError."""
    _Task.model_validate(plain)
    return TaskInfo.from_dict(plain)


def check_record(record: dict[str, Any]) -> None:
    """Raise JournalError where a record is of a known kind but not of its form."""
    kind = record["record"]
    try:
        _CHECKS.get(kind if isinstance(kind, str) else "", _LATER).validate_python(record)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        said = f"its {place} is not: {found['msg']}, not {show(found['input'])}"
        if not place:  # of the whole record
            said = f"it is not: {found['msg']}"
        raise JournalError(
            f"A record {show(kind)} of the journal must be as gatesearch writes it; {said}. "
            f"{REMEDY}"
        ) from None


def config_of(record: dict[str, Any]) -> TrialConfig:
    """Return a stored configuration; one of an earlier version lacks the newest settings."""
    try:
        return TrialConfig.model_validate(record["config"])
    except ValidationError as error:
        problem = error.errors()[0]
        raise JournalError(
            f"Trial {record['key']} of the journal has a configuration that this version does not "
            f"know ({'.'.join(map(str, problem['loc']))}: {problem['msg']}). Use the version of "
            "gatesearch that wrote it."
        ) from None
