"""The confirm phase: which search trials are finalists, and which replicates they get."""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Iterator

from search.job.spec import JobSpec
from search.journal.replay import JobState, NewTrial, TrialState, trial_key
from search.results.ranking import SearchRank, search_rank
from search.study.seeds import derive_seed
from spaces.config import TrialConfig
from trainables.data.redealing import Split
from trainables.training.batching import MAX_MEMBERS, batching_pays


class Confirmation:
    """Each arm's finalists and their replicates."""

    def __init__(self, job: JobSpec, job_state: JobState) -> None:
        """Take in the trials of the journal; later ones are reported as they go."""
        assert job_state.info is not None
        self._job, self._job_state = job, job_state
        self._metric = job_state.info.metric
        self._longest = job_state.info.longest
        self._ranked: defaultdict[str, list[tuple[SearchRank, TrialState]]]
        self._ranked = defaultdict(list)
        self._states: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._begun: set[tuple[str, int | None, int | None]] = set()
        self._confirmed: set[tuple[str, int | None]] = set()
        for trial in job_state.trials.values():
            if trial.phase == "confirm":
                self._add(trial)
                self._states[trial.arm][trial.state] += 1
            elif trial.state != "running":
                self.searched(trial)

    @property
    def _each(self) -> int:
        """How many replicates each finalist gets."""
        return self._job.confirm.most + self._job_state.added_replicates

    @property
    def replicates(self) -> int:
        """How many replicates each arm gets."""
        return self._job.confirm.finalists * self._each

    def states(self, arm: str) -> Counter[str]:
        """Return how many replicates of an arm are in each state."""
        return self._states[arm]

    def searched(self, trial: TrialState) -> None:
        """Rank a trial of the search that has ended."""
        if trial.state == "complete" and trial.value is not None:
            ranked = search_rank(self._metric, trial), trial
            insort(self._ranked[trial.arm], ranked, key=lambda one: one[0])

    def created(self, trial: TrialState) -> None:
        """Count a new replicate."""
        self._add(trial)
        self._states[trial.arm]["running"] += 1

    def _add(self, replicate: TrialState) -> None:
        self._begun.add((replicate.arm, replicate.finalist, replicate.replicate))
        self._confirmed.add((replicate.arm, replicate.finalist))

    def ended(self, trial: TrialState) -> None:
        """Count a replicate that was running as ended."""
        self._states[trial.arm]["running"] -= 1
        self._states[trial.arm][trial.state] += 1

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
        most = self._job.confirm.finalists
        ranked = [
            (rank, trial)
            for place, (rank, trial) in enumerate(self._ranked[arm])
            if place < most or self.confirmed(trial)
        ]
        ranked.sort(key=lambda one: (one[0][0], not self.confirmed(one[1]), one[0]))
        return [trial for _, trial in ranked[:most]]

    def next(self) -> NewTrial | None:
        """Return the next replicate: all finalists with one seed and split, then with the next."""
        finalists = [trial for arm in self._job.arms for trial in self.finalists(arm.name)]
        for replicate in range(self._each):
            for finalist in finalists:
                if (finalist.arm, finalist.number, replicate) not in self._begun:
                    return self._replicate(
                        finalist.arm, finalist.number, finalist.config, replicate
                    )
        return None

    def split(self, trial: TrialState) -> Split | None:
        """Return the split that a trial's data is on; None is the one that it was loaded with."""
        design = self._job.confirm.design
        if trial.split is None or design == "seeds":
            return None
        return Split(design, derive_seed(self._job.search.seed, "split", trial.split))

    def block(self, first: TrialState, slots: int) -> Iterator[int]:
        """Yield the replicates of the same finalist that are trained at once with a given one.

        A finalist's replicates fall into a block for every slot, the same ones after a resume. None
        are yielded where training at once takes no less time, and none with one that was lost with
        its worker: there may have been too many for it.
        """
        if first.replicate is None or first.lost_at is not None:
            return
        if self._job.resources.gpus_per_trial or not batching_pays(first.config, self._longest):
            return
        size = min(-(-self._each // slots), MAX_MEMBERS)
        start = first.replicate - first.replicate % size
        yield from range(start, min(start + size, self._each))

    def beside(self, first: TrialState, replicate: int) -> NewTrial | None:
        """Return another replicate of the same finalist, or None where it was begun already."""
        if (first.arm, first.finalist, replicate) in self._begun:
            return None
        return self._replicate(first.arm, first.finalist, first.config, replicate)

    def _replicate(
        self, arm: str, finalist: int | None, config: TrialConfig, replicate: int
    ) -> NewTrial:
        """Return a replicate. Its number follows from what it is, not from when it is begun."""
        chosen = [trial.number for trial in self.finalists(arm)]
        number = replicate * len(chosen) + chosen.index(finalist) if finalist in chosen else 0
        while trial_key("confirm", arm, number) in self._job_state.trials:
            number += 1  # that number has a finalist from before the job was extended
        # Seed and split are the same for every arm: what is random, but for the arm, is paired.
        seed = derive_seed(self._job.search.seed, "confirm", replicate)
        split = replicate if self._job.confirm.design == "splits" else None
        return NewTrial(
            "confirm",
            arm,
            number,
            config,
            seed,
            finalist=finalist,
            replicate=replicate,
            split=split,
        )
