"""What former jobs of a root say of good learning rates: `search: {prior: jobs}`.

A former job has one vote on each cell: by how many decades the rates of the best tenth of its
trials lie above what the literature has for their cells, sizes and optimizers, on average. The
literature has one vote too, of zero: half of what is uncertain about it is taken for how far this
root's tasks lie from it together, the other half for how far they lie from each other. Under these
normal distributions of equal variance the mean of all votes is what is expected of a new task.

All arms must begin equally well informed. So a job counts where it says something of every cell
whose rate is searched, and for all of them, or it counts for none. One that may have trained on
what is test data now does not count either.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

from search.job.folder import JOURNAL
from search.job.spec import JobSpec
from search.journal.base import JournalError
from search.journal.file import FileReader
from search.journal.replay import JobState
from search.journal.warm_start import LearnedRates
from search.results.read import Results
from search.run.overlap import may_have_seen
from search.study.learning_rates import literature
from spaces.arms import Arm
from spaces.domains import Choices, Domain, Fixed, Range
from spaces.errors import InputError
from trainables.data.sequences import Data

MOST = 20  #: former jobs that are read: the latest
FEWEST = 8  #: trials of a cell by which its best ones say something
BEST = 0.1  #: of a cell's trials, whose rates are taken
DECADES = 1.0  #: that a job must have searched, at least, or its rates are its file's


def learn(job: JobSpec, data: Data, root: Path) -> LearnedRates:
    """Return what the finished jobs of a root say of the learning rates of a job's cells.

    Journals in a database are not asked; those that cannot be read are passed over.
    """
    families = _families(job.arms)
    votes: dict[str, dict[str, float]] = {}
    unequal = overlapping = 0
    overlaps: dict[str, bool] = {}  # by fingerprint of the data
    for former in _finished(root, job.name):
        told = ((family, _vote(former, family)) for family in families)
        said = {family: vote for family, vote in told if vote is not None}
        if 0 < len(said) < len(families):
            unequal += 1
        elif said and _may_have_seen(former, data, overlaps):
            overlapping += 1
        elif said:
            votes[former.folder.name] = said
    decades = {
        family: math.fsum(said[family] for said in votes.values()) / (len(votes) + 1)
        for family in families
    }
    return LearnedRates(tuple(sorted(votes)), decades, unequal, overlapping)


def _families(arms: Sequence[Arm]) -> list[str]:
    """Return the families of the arms whose learning rate is searched."""
    searched = [arm for arm in arms if "learning_rate" in arm.domains()]
    return list(dict.fromkeys(cell.family for arm in searched for cell in arm.cells))


def _finished(root: Path, but: str) -> Iterator[Results]:
    """Yield the latest finished jobs of a root, without their curves."""
    journals = [each for each in root.glob(f"*/{JOURNAL}") if each.parent.name != but]
    dated = []
    for journal in journals:
        with suppress(OSError):  # it has just gone
            dated.append((-journal.stat().st_mtime_ns, journal))
    for _, journal in sorted(dated)[:MOST]:
        with suppress(JournalError, InputError, OSError):  # its own commands say what is wrong
            if (results := _read(journal)).finished:
                yield results


def _read(journal: Path) -> Results:
    state = JobState(keep_curves=False)
    state.apply_all(FileReader(journal).groups())
    if state.spec is None or state.info is None:
        raise JournalError(f"{journal}: no job has begun")
    job = JobSpec.recorded(state.spec, Path(state.base))
    state.check_arms(job)
    trials = [trial.result(state.info.metric) for trial in state.trials.values()]
    warm = state.warm_start
    return Results(journal.parent, job, state.info, trials, state.phase, warm_start=warm)


def _may_have_seen(former: Results, data: Data, known: dict[str, bool]) -> bool:
    """Return whether a former job may have seen test data; known: answers by fingerprint."""
    if former.warm_start is not None:  # what it started from may have, too
        return may_have_seen(former, data)
    fingerprint = former.info.fingerprint
    if fingerprint not in known:
        known[fingerprint] = may_have_seen(former, data)
    return known[fingerprint]


def _vote(former: Results, family: str) -> float | None:
    """Return by how many decades a cell's good rates lay above the literature's, if it is known."""
    arms = {arm.name for arm in former.job.arms if _decades(arm.space["learning_rate"]) >= DECADES}
    tried = [
        trial
        for trial in former.search
        if trial.arm in arms
        and trial.config.cell == family
        and (trial.state == "diverged" or (trial.state in ("complete", "pruned") and trial.epochs))
    ]
    cost = former.info.metric.cost
    ranked = sorted(
        (cost(trial.value), trial.arm, trial.number, trial.config)
        for trial in tried
        if trial.state == "complete" and trial.value is not None
    )
    if len(tried) < FEWEST or not ranked:
        return None
    return fmean(
        math.log10(config.learning_rate)
        - literature(config.cell, config.hidden_size, config.optimizer).mean
        for *_, config in ranked[: math.ceil(BEST * len(tried))]
    )


def _decades(domain: Domain) -> float:
    """Return how wide a domain of learning rates is."""
    match domain:
        case Range(low, high):
            return math.log10(high / low)
        case Choices(values):
            rates = [float(value) for value in values if value is not None]
            return math.log10(max(rates) / min(rates))
        case Fixed():
            return 0.0
