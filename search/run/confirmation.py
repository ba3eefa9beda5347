"""The confirm phase: which replicates there are, what trains together, and what is scored.

A replicate of an arm is a finalist trained again (design seeds, or splits: on a split of its own),
or, in the design nested, some configurations on a split of its own, of which the one with the best
validation value is scored on test data, once.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from search.job.spec import JobSpec
from search.journal.replay import JobState, NewTrial, TrialState, trial_key
from search.results.ranking import CHOOSING, SearchRank, search_rank
from search.run.until_decided import UntilDecided
from search.study.nested import NestedDraws
from search.study.seeds import derive_seed
from trainables.data.redealing import Split
from trainables.training.batching import MAX_MEMBERS, batching_pays
from trainables.worker.capacity import shape_of

NESTED_BLOCK = 10  #: replicates from which an arm's candidates of one shape train together


class Place(NamedTuple):
    """What a trial of the phase is: equal places are the same trial."""

    arm: str
    which: int  #: the finalist's number in the search; in a nested design, the candidate's
    replicate: int


def place_of(trial: TrialState) -> Place:
    """Return the place of a trial of the phase."""
    which = trial.finalist if trial.candidate is None else trial.candidate
    assert which is not None
    assert trial.replicate is not None
    return Place(trial.arm, which, trial.replicate)


class Confirmation:
    """Each arm's finalists and replicates."""

    def __init__(self, job: JobSpec, job_state: JobState) -> None:
        """Take in the trials of the journal; later ones are reported as they go."""
        assert job_state.info is not None
        self._job, self._job_state = job, job_state
        self._confirm = job.confirm
        self._nested = job.confirm.design == "nested"
        self._metric = job_state.info.metric
        self._longest = job_state.info.longest
        self._draws = NestedDraws(job, job_state.info)
        self._ranked: defaultdict[str, list[tuple[SearchRank, TrialState]]]
        self._ranked = defaultdict(list)
        self._states: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._trials: dict[Place, TrialState] = {}
        self._confirmed: set[tuple[str, int | None]] = set()
        self._open = UntilDecided(job, job_state) if job.confirm.auto else None
        self._settled = 0  # replicates from the first on of which nothing is to come
        for trial in job_state.trials.values():
            if trial.phase == "confirm":
                self._add(trial)
                self._states[trial.arm][trial.state] += 1
            elif trial.state != "running":
                self.searched(trial)

    # The search's trials

    def searched(self, trial: TrialState) -> None:
        """Rank a trial of the search that has ended."""
        if trial.state == "complete" and trial.value is not None:
            ranked = search_rank(self._metric, trial), trial
            insort(self._ranked[trial.arm], ranked, key=lambda one: one[0])

    def best(self, arm: str, number: int | None = None) -> list[TrialState]:
        """Return an arm's best complete search trials, or all of them, the best first."""
        return [trial for _, trial in self._ranked[arm][:number]]

    def confirmed(self, trial: TrialState) -> bool:
        """Return whether a search trial is or was a finalist, with a replicate that has begun."""
        return (trial.arm, trial.number) in self._confirmed

    def finalists(self, arm: str) -> list[TrialState]:
        """Return the search trials of an arm that are confirmed, the best first.

        A finalist whose replicates have begun gives way to better values alone, not to a lower
        loss: earlier versions broke ties otherwise, and seeds may be added to their jobs.
        """
        most = self._confirm.finalists
        ranked = [
            (rank, trial)
            for place, (rank, trial) in enumerate(self._ranked[arm])
            if place < most or self.confirmed(trial)
        ]
        ranked.sort(key=lambda one: (one[0][0], not self.confirmed(one[1]), one[0]))
        return [trial for _, trial in ranked[:most]]

    # How many replicates there are

    @property
    def _most(self) -> int:
        """How many replicates there are, of each finalist or arm; where that is open, at most."""
        return self._confirm.most + self._job_state.added_replicates

    @property
    def replicates(self) -> int:
        """How many trials of the phase each arm gets, at most."""
        each = self._confirm.configurations if self._nested else self._confirm.finalists
        return each * self._most

    def _limit(self, places: list[list[Place]]) -> int:
        """Return how many replicates may have begun now."""
        if self._open is None:
            return self._most
        while self._settled < self._most and all(
            self._ended(place._replace(replicate=self._settled))
            for own in places
            for place in self._going_on(own, self._settled)
        ):
            self._settled += 1
        least = min(self._job_state.least_replicates, self._most)
        if self._open.decided(self._settled):
            return max(self._settled, least)
        return min(self._most, max(least, self._open.ahead(self._settled)))

    def _ended(self, place: Place) -> bool:
        """Return whether nothing is to come of a trial, nor of the candidates beside it."""
        trial = self._trials.get(place)
        return trial is not None and trial.state != "running" and self.chosen(trial) is None

    # What comes next

    def states(self, arm: str) -> Counter[str]:
        """Return how many trials of the phase of an arm are in each state."""
        return self._states[arm]

    def created(self, trial: TrialState) -> None:
        """Count a new trial of the phase."""
        self._add(trial)
        self._states[trial.arm]["running"] += 1

    def _add(self, trial: TrialState) -> None:
        self._trials[place_of(trial)] = trial
        self._confirmed.add((trial.arm, trial.finalist))

    def ended(self, trial: TrialState) -> None:
        """Count a trial of the phase that was running as ended."""
        self._states[trial.arm]["running"] -= 1
        self._states[trial.arm][trial.state] += 1

    def next(self) -> NewTrial | None:
        """Return the next trial: of all arms on one split and seed, then on the next."""
        here = next(self._to_begin(), None)
        return None if here is None else self.new(here)

    def could_begin(self) -> int:
        """Return how many trials of the phase could begin at once, were there room for them."""
        return sum(1 for _ in self._to_begin())

    def _to_begin(self) -> Iterator[Place]:
        """Yield the places that may have a trial and have none yet, in the order of their turn."""
        places = self._places()
        for replicate in range(self._limit(places)):
            for own in places:
                for place in self._going_on(own, replicate):
                    here = place._replace(replicate=replicate)
                    if here not in self._trials:
                        yield here

    def _places(self) -> list[list[Place]]:
        """Return the places of each arm in any replicate, written as of the first."""
        if self._nested:
            numbers = range(self._confirm.configurations)
            return [[Place(arm.name, number, 0) for number in numbers] for arm in self._job.arms]
        return [
            [Place(arm.name, trial.number, 0) for trial in self.finalists(arm.name)]
            for arm in self._job.arms
        ]

    def _going_on(self, places: list[Place], replicate: int) -> list[Place]:
        """Return the places of an arm that a replicate has: where it is open, the leader's alone.

        Who leads an arm is settled by its first replicates, before others begin.
        """
        if self._open is None or self._nested or replicate < CHOOSING or len(places) < 2:
            return places
        leader = self._open.leader(places[0].arm)
        return [place for place in places if place.which == leader]

    def new(self, place: Place) -> NewTrial:
        """Return a trial at a place. Its number follows from what it is, not from when it began."""
        arm, which, replicate = place
        number = replicate * self._confirm.configurations + which
        candidate, finalist = (which, None) if self._nested else (None, which)
        if self._nested:
            section = next(one for one in self._job.arms if one.name == arm)
            config = self._draws.configuration(section, replicate, which)
        else:
            config = self._job_state.trials[trial_key("search", arm, which)].config
            chosen = [trial.number for trial in self.finalists(arm)]
            number = replicate * len(chosen) + chosen.index(which) if which in chosen else 0
        while trial_key("confirm", arm, number) in self._job_state.trials:
            number += 1  # that number has a finalist from before the job was extended
        # Seed and split are the same for every arm: what is random, but for the arm, is paired.
        names = ("confirm", replicate, which) if self._nested else ("confirm", replicate)
        return NewTrial(
            "confirm",
            arm,
            number,
            config,
            derive_seed(self._job.search.seed, *names),
            finalist=finalist,
            replicate=replicate,
            split=None if self._confirm.design == "seeds" else replicate,
            candidate=candidate,
        )

    def split(self, trial: TrialState) -> Split | None:
        """Return the split that a trial's data is on; None is the one that it was loaded with."""
        design = self._confirm.design
        if trial.split is None or design == "seeds":
            return None
        return Split(design, derive_seed(self._job.search.seed, "split", trial.split))

    # What trains together

    def block(self, first: TrialState, slots: int) -> Iterator[Place]:
        """Yield the places of what is trained at once with a given trial of the phase.

        A finalist's replicates fall into a block for every slot, candidates of one shape into
        blocks of some replicates: the same ones after a resume. None are yielded where training at
        once takes no less time, and none with one that was lost with its worker: there may have
        been too many for it.
        """
        if first.replicate is None or first.lost_at is not None:
            return
        if self._job.resources.gpus_per_trial or not batching_pays(first.config, self._longest):
            return
        limit = self._limit(self._places())
        size = min(-(-limit // slots), MAX_MEMBERS)
        if self._open is not None or self._nested:
            size = self._open.block if self._open is not None else NESTED_BLOCK
        start = first.replicate - first.replicate % size
        replicates = range(start, min(start + size, limit))
        if not self._nested:
            yield from (Place(first.arm, place_of(first).which, number) for number in replicates)
            return
        shape, same = shape_of(first.config), []
        section = next(arm for arm in self._job.arms if arm.name == first.arm)
        for replicate in replicates:
            for which in range(self._confirm.configurations):
                if shape_of(self._draws.configuration(section, replicate, which)) == shape:
                    same.append(Place(first.arm, which, replicate))
        if place_of(first) not in same:  # of another design, or drawn otherwise
            return
        here = same.index(place_of(first))
        begin = here - here % MAX_MEMBERS
        yield from same[begin : begin + MAX_MEMBERS]

    @property
    def begun_replicates(self) -> int:
        """How many replicates have begun, in any arm."""
        return 1 + max((place.replicate for place in self._trials), default=-1)

    def begun(self, place: Place) -> bool:
        """Return whether there is a trial at a place."""
        return place in self._trials

    # What is scored, in a nested design

    def chosen(self, trial: TrialState) -> TrialState | None:
        """Return the candidate that is to be scored, of those beside a trial and itself.

        None where one was, where some have not ended, or where there is no complete one.
        """
        if trial.candidate is None or (own := self.beside(trial)) is None:
            return None
        complete = [one for one in own if one.state == "complete" and one.value is not None]
        if any(one.scored for one in own) or not complete:
            return None
        return min(complete, key=lambda one: search_rank(self._metric, one))

    def tests(self, trial: TrialState) -> bool:
        """Return whether a trial is scored on test data by whoever gets it now."""
        if trial.phase == "search":
            return False
        return trial.candidate is None or trial.state == "complete"

    def beside(self, trial: TrialState) -> list[TrialState] | None:
        """Return all candidates of an arm on a split, once they have ended."""
        at = place_of(trial)
        found = [
            self._trials.get(at._replace(which=which))
            for which in range(self._confirm.configurations)
        ]
        ended = [one for one in found if one is not None and one.state != "running"]
        return ended if len(ended) == len(found) else None

    def awaits_score(self, trial: TrialState) -> bool:
        """Return whether a candidate may yet be chosen and scored: its weights are needed."""
        if trial.candidate is None or trial.state != "complete":
            return False
        own = self.beside(trial)
        return own is None or not any(one.scored for one in own)

    def due(self) -> list[TrialState]:
        """Return the candidates that are to be scored now."""
        if not self._nested:
            return []
        found = {}
        for trial in self._trials.values():
            if (one := self.chosen(trial)) is not None:
                found[one.key] = one
        return list(found.values())
