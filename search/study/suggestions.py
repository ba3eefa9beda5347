"""What an arm tries next: a sampler's suggestion that is new and within the limit of parameters.

A suggestion that repeats an earlier configuration of the arm is replaced by others of the sampler,
and then by random ones. A small space is listed instead, and one of its untried configurations is
drawn. Once everything in a space has been tried, repeats are accepted: trained with another seed,
they are new measurements. Control trials accept repeats at once, because they must be independent
draws from the whole space. Those of one number are drawn alike in every arm: a setting that arms
share has the same value in them, so that what differs between arms is the arm.

The first trials of an arm, controls aside, are the configurations that the job starts from, if it
names any. What they leave out is drawn alike in every arm. The very first has the learning rate
that is known to be good, see known_rates.py.

A configuration over the limit of parameters is never accepted. One within it exists (`check` of a
job refuses other arms), and is constructed if chance does not find it.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from search.job.spec import JobSpec
from search.study import samplers
from search.study.known_rates import KnownRates
from search.study.objectives import Objectives
from search.study.optuna_compat import shares_parameters
from search.study.sampler_storage import SuggestionStorage
from search.study.sampling import Sample, draw, draw_alike, everything
from search.study.seeds import derive_seed
from spaces.arms import Arm
from spaces.min_size import smallest
from spaces.sizes import parameters
from spaces.tasks import TaskInfo

if TYPE_CHECKING:
    from search.study.cma import CmaEs

MODEL_ATTEMPTS = 3  #: suggestions of the sampler before random ones replace them
RANDOM_ATTEMPTS = 100  #: random suggestions before one that is not new is accepted
SMALL_SPACE = 1000  #: configurations in a space that is listed to find the untried ones


@dataclass(frozen=True)
class Shown:
    """What a sampler is shown of an arm's study for one suggestion."""

    trials: list[FrozenTrial]
    study_attributes: dict[str, Any]
    proposals: Sequence[Mapping[str, Any]] = ()  #: what a model has chosen already, best first


@dataclass(frozen=True)
class Suggestion:
    """A configuration, and what the sampler stores with its trial and with the study."""

    sample: Sample
    control: bool
    trial_attributes: dict[str, Any]
    study_attributes: dict[str, Any]


class Suggester:
    """Makes the suggestions of one arm."""

    def __init__(
        self,
        job: JobSpec,
        arm: Arm,
        info: TaskInfo,
        tried: Iterable[bytes],
        cma: "CmaEs | None",
        rates: KnownRates,
        *,
        common_controls: bool,
    ) -> None:
        """tried: digests of the configurations that the arm has tried.

        rates: what is known of learning rates before any trial.
        common_controls: whether control trials are drawn alike in every arm.
        """
        self._job = job
        self._arm = arm
        self._sizes = info.sizes
        self._directions = Objectives(job.search.objectives, info.metric).directions
        self._tried = set(tried)
        self._exhausted = False  # whether everything in a small space has been tried
        self._cma = cma
        self._rates = rates
        self._common_controls = common_controls

    def visibility(self, number: int, *, control: bool) -> samplers.Visibility:
        """Return which trials must be shown for the suggestion of trial `number`."""
        if control or self.starts_from_given(number):
            return "nothing"
        return samplers.choose(self._job, self._arm.name, self._seed(number, 0)).visibility

    def suggest(self, number: int, shown: Shown, *, control: bool) -> Suggestion:
        """Return the suggestion for trial `number`.

        It depends on nothing that changes before `tried` reports a configuration, so that another
        thread may call it.
        """
        if not control and self.starts_from_given(number):
            made = Suggestion(self._start(number), control, {}, {})
        else:
            made = self._attempt(number, 0, shown, control=control)
            accepted = self._accept(number, made.sample, shown, control=control)
            made = replace(made, sample=accepted)
        if number or control:
            return made
        return replace(made, sample=self._rates.at_first(self._arm, made.sample))

    def tried(self, sample: Sample) -> None:
        """Take in that a trial of a configuration has started."""
        self._tried.add(sample.digest)

    def starts_from_given(self, number: int) -> bool:
        """Return whether trial `number`, if it is no control trial, is one that the job names."""
        search = self._job.search
        return number - controls_before(number, search.control_fraction) < len(search.start_from)

    def _start(self, number: int) -> Sample:
        """Return the configuration that the job has trial `number` start from.

        Of what is left out the first draw counts that is within the limit of parameters; where
        none is, the smallest model with what is given, which `check` of a job found to be.
        """
        search = self._job.search
        place = number - controls_before(number, search.control_fraction)
        given = search.start_from[place].given()
        for attempt in range(RANDOM_ATTEMPTS):

            def seed(name: str, attempt: int = attempt) -> int:
                return derive_seed(search.seed, "start", place, attempt, name)

            sample = draw_alike(self._arm, seed, given)
            if self._within_limit(sample):
                return sample
        small = smallest(self._arm, *self._sizes, given)[1]
        return draw_alike(self._arm, seed, {**small, **given})

    def is_new(self, sample: Sample) -> bool:
        """Return whether a configuration is within the limit, and has not been tried."""
        return sample.digest not in self._tried and self._within_limit(sample)

    def _accept(self, number: int, first: Sample, shown: Shown, *, control: bool) -> Sample:
        """Return the first suggestion, or another one if it is over the limit or not new."""
        repeat = None
        for attempt in range(MODEL_ATTEMPTS + RANDOM_ATTEMPTS):
            sample = first
            if attempt:
                sample = self._attempt(number, attempt, shown, control=control).sample
            if self._within_limit(sample):
                if control or self._exhausted or sample.digest not in self._tried:
                    return sample
                repeat = repeat or sample
            if attempt == MODEL_ATTEMPTS - 1 and not control:
                untried = self._untried()
                if untried:
                    return untried[self._seed(number, "left") % len(untried)]
                self._exhausted = untried is not None
                if self._exhausted and repeat is not None:
                    return repeat
        if repeat is not None:
            return repeat
        uniform = samplers.uniform(self._seed(number, 0))
        return self._draw(number, uniform, shown, given=self._smallest).sample

    def _attempt(self, number: int, attempt: int, shown: Shown, *, control: bool) -> Suggestion:
        """Return a suggestion of the sampler, or a random one."""
        if control and self._common_controls:
            job_seed = self._job.search.seed
            sample = draw_alike(
                self._arm, lambda name: derive_seed(job_seed, "control", number, attempt, name)
            )
            return Suggestion(sample, control, {}, {})
        seed = self._seed(number, attempt)
        if control or attempt >= MODEL_ATTEMPTS:
            return self._draw(number, samplers.uniform(seed), shown, control=control)
        given: Mapping[str, Any] | None = None
        if self._cma is not None:
            given = self._cma.suggest(seed)
        if attempt < len(shown.proposals):
            given = shown.proposals[attempt]
        chosen = samplers.choose(self._job, self._arm.name, seed)
        return self._draw(number, chosen, shown, given=given)

    def _draw(
        self,
        number: int,
        choice: samplers.Choice,
        shown: Shown,
        *,
        control: bool = False,
        given: Mapping[str, Any] | None = None,
    ) -> Suggestion:
        """Return what a sampler suggests, except for given values."""
        storage = SuggestionStorage(
            f"{self._job.name}/{self._arm.name}",
            self._directions,
            [] if choice.visibility == "nothing" else shown.trials,
            number,
            shown.study_attributes,
        )
        sample = draw(self._arm, storage.ask(choice.sampler), given or {})
        # A running trial is stored with its parameters: samplers need not share them once more.
        attributes = {
            key: value
            for key, value in storage.trial_attributes.items()
            if not shares_parameters(key)
        }
        return Suggestion(sample, control, attributes, storage.new_study_attributes)

    def _seed(self, number: int, attempt: int | str) -> int:
        names = (attempt,) if attempt else ()
        return derive_seed(self._job.search.seed, self._arm.name, number, *names)

    def _within_limit(self, sample: Sample) -> bool:
        most = self._job.search.constraints.parameters
        return most is None or parameters(sample.config, *self._sizes) <= most

    def _untried(self) -> list[Sample] | None:
        """Return the untried configurations of a small space, or None for one that is not small."""
        if self._everything is None:
            return None
        return [
            sample
            for sample in self._everything
            if sample.digest not in self._tried and self._within_limit(sample)
        ]

    @cached_property
    def _everything(self) -> list[Sample] | None:
        return everything(self._arm, SMALL_SPACE)

    @cached_property
    def _smallest(self) -> dict[str, Any]:
        """The values of the configuration with the fewest parameters."""
        return smallest(self._arm, *self._sizes)[1]


def controls_before(number: int, share: float) -> int:
    """Return how many of the trials with smaller numbers are control trials."""
    return int(number * share + 1e-9)


def begin(suggest: Callable[[], Suggestion], *, on_thread: bool) -> Future[Suggestion]:
    """Begin a suggestion, or make it at once; what it raises is raised where its result is read."""
    suggestion: Future[Suggestion] = Future()
    if on_thread:  # a daemon: whoever interrupts the job does not wait for the sampler
        threading.Thread(target=_fulfil, args=(suggestion, suggest), daemon=True).start()
    else:
        _fulfil(suggestion, suggest)
    return suggestion


def _fulfil(suggestion: Future[Suggestion], suggest: Callable[[], Suggestion]) -> None:
    try:
        suggestion.set_result(suggest())
    except BaseException as error:
        suggestion.set_exception(error)
