"""The figures of a comparison, as plain dataclasses."""

from dataclasses import dataclass, field
from typing import Any, Literal

from search.journal.trial import AloneTimes, State, as_json
from search.results.evidence.verdict import Verdict
from search.results.learning_rates import GoodRates
from search.results.time_to_target import TimeToTarget
from search.spread import Spread
from spaces.config import TrialConfig
from spaces.kinds import Metric

#: How far the job is; figures of an unfinished one are provisional.
Progress = Literal["searching", "confirming", "done"]


@dataclass(frozen=True)
class SearchBudget:
    """What every arm may spend on its search."""

    unit: Literal["trials", "worker_seconds", "epochs"]
    amount: float


@dataclass(frozen=True)
class SearchTrial:
    """A complete trial of the search. Its value is the best of many tries and flatters the arm."""

    number: int
    value: float  #: best epoch's validation value
    control: bool
    config: TrialConfig
    parameters: int | None
    epochs: int
    train_seconds: float


@dataclass(frozen=True)
class Replicate:
    """One fresh training of a finalist."""

    replicate: int  #: equal numbers share their seed across arms
    split: int | None  #: of the data, where the design of replicates has several
    seed: int
    state: State
    validation: float | None
    test: float | None  #: the job's metric on test data, for complete replicates only
    training: float | None  #: the same on training data, without dropout
    gap: float | None  #: how much better training data is scored than test data
    train_seconds: float


@dataclass(frozen=True)
class Finalist:
    """One of an arm's best configurations, trained again with fresh seeds."""

    number: int  #: the search trial it came from
    config: TrialConfig
    parameters: int | None
    search_value: float | None
    alone: AloneTimes | None  #: what it costs, measured after the search
    leads: bool  #: stands for its arm in every table
    seeds: int  #: replicates asked for
    test: Spread | None  #: over complete replicates
    validation: Spread | None
    gap: Spread | None  #: how much better training data is scored than test data
    train_seconds: Spread | None
    replicates: tuple[Replicate, ...]
    #: How long it trains until its validation value is good enough; once there is a target.
    to_target: TimeToTarget | None = None

    @property
    def lost(self) -> int:
        """The number of replicates that ended without a test value."""
        return sum(r.state in ("diverged", "failed", "pruned") for r in self.replicates)


@dataclass(frozen=True)
class SplitScores:
    """What an arm's small searches on outer splits scored, in a nested design."""

    test: Spread | None  #: over the splits on which a candidate was scored
    gap: Spread | None  #: over these, how much better training data is scored than test data
    splits: int  #: asked for, or begun where that is open


@dataclass(frozen=True)
class Diverged:
    """How many of an arm's ended trainings diverged, of those that nothing stops before."""

    controls: int
    of_controls: int
    replicates: int  #: of all finalists, or candidates of a nested design
    of_replicates: int


@dataclass(frozen=True)
class ArmSummary:
    """One arm of the job: what it spent and what it found."""

    name: str
    cells: tuple[str, ...]
    pooled: bool  #: its trials choose the cell themselves
    states: dict[str, int]  #: search trials by state, every state listed
    controls: int  #: search trials drawn at random and never pruned
    trials: int  #: search trials that have ended
    epochs: int  #: trained in the search
    mean_parameters: float | None  #: over the search trials whose size is known
    worker_seconds: float  #: training time of the search, added over all trials
    confirm_seconds: float  #: the same for the confirm phase
    #: Which its training times were measured on, in the search and after it: engine/cpu/float32.
    paths: tuple[str, ...]
    too_slow: int  #: search trials over the job's limit of latency, which were never trained
    fastest_ms: float | None  #: the least latency of its search trials, where it is limited
    best: SearchTrial | None  #: by its value in the search
    #: The configuration that stands for the arm in every table: the finalist that leads, or the
    #: best trial before there are finalists; see search.results.ranking.
    leader: SearchTrial | None
    finalists: tuple[Finalist, ...]  #: the one that leads comes first
    diverged: Diverged
    good_rates: GoodRates
    nested: SplitScores | None = None  #: in a nested design, once it has begun

    @property
    def leading(self) -> Finalist | None:
        """The leader as a finalist, with its replicates; None before there are finalists."""
        return next((finalist for finalist in self.finalists if finalist.leads), None)

    @property
    def to_target(self) -> TimeToTarget | None:
        """How long the leader trains until its validation value is good enough."""
        return self.leading.to_target if self.leading else None


@dataclass(frozen=True)
class PairedDifference:
    """first - second on test data over the replicate numbers that both arms completed."""

    first: str
    second: str
    replicates: tuple[int, ...]
    difference: Spread
    favours: str | None  #: the arm whose mean is better; None for equal means


@dataclass(frozen=True)
class FrontPoint:
    """A trial of the Pareto front: no other one dominates it in the job's objectives."""

    arm: str
    number: int
    value: float
    parameters: int | None
    train_seconds: float


@dataclass(frozen=True)
class CostPoint:
    """A finalist's mean test value against one of its costs."""

    arm: str
    number: int  #: the search trial it came from
    value: float
    cost: float
    on_front: bool  #: no other finalist is as good in both and better in one


@dataclass(frozen=True)
class CostFront:
    """All finalists whose cost is known; costs are those of search.results.costs."""

    cost: str
    points: tuple[CostPoint, ...]


@dataclass(frozen=True)
class BaselineScore:
    """What is reached without a model, in the job's metric; see trainables.data.baselines."""

    name: str
    value: float  #: on validation data
    test: float


@dataclass(frozen=True)
class Comparison:
    """Everything the terminal, `compare --json` and the report say about a job's arms."""

    job: str
    task: str
    kind: str
    fingerprint: str
    metric: Metric
    progress: Progress
    budget: SearchBudget
    latency_limit_ms: float | None  #: of one typical sequence; None: none was set
    shared_workers: bool  #: workers may train several trials at once: times are shares
    mixed_devices: bool  #: some trials may have trained on GPUs, others on CPUs
    arms: tuple[ArmSummary, ...]
    differences: tuple[PairedDifference, ...]
    verdict: Verdict
    findings: tuple[str, ...] = field(default=())  #: what can be said
    cautions: tuple[str, ...] = field(default=())  #: what a reader must know before using it
    not_claimed: tuple[str, ...] = field(default=())  #: what these figures do not show
    #: Nothing where an earlier version ran the job.
    baselines: tuple[BaselineScore, ...] = field(default=())
    front: tuple[FrontPoint, ...] = field(default=())  #: where the job has several objectives
    costs: tuple[CostFront, ...] = field(default=())  #: finalists' values against their costs
    starts: int = 0  #: configurations of the job file that every arm tried first
    first_rates: str | None = None  #: with which learning rates arms began, and why
    warm_start: str | None = None  #: what each arm has from the job that the search started from
    objections: tuple[str, ...] = field(default=())  #: why the warm start allows no verdict
    #: Other jobs in the root that have scored the test data too.
    also_scored: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; no value is NaN or infinite."""
        plain: dict[str, Any] = as_json(self)
        return {**plain, "verdict": self.verdict.as_dict()}

    def arm(self, name: str) -> ArmSummary:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)
