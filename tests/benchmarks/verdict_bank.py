"""How often one arm is called better than itself, on real trainings.

    python tests/benchmarks/verdict_bank.py --bank FOLDER [--pairs 1000] [--seed 0]

The bank: 24 random configurations of the quickstart's GRU arm, each trained on 20 splits with 2
seeds, once for the design `splits` (test part as it is) and once for `nested` (all data dealt
anew). Every one of these 1,920 trainings has a seed of its own. It takes 6 minutes of one
core; what is in FOLDER already is kept, and an interrupted run goes on.

From it pairs of pseudo-arms are drawn. Each has a random half of the configurations, drawn for
itself. For every configuration and split a coin says whose the first of the two seeds is; the other
arm gets the second one. So the two may try the same configuration and never share a training.

    splits   An arm searches on one split, the same for both, drawn for the pair. The 19 others are
             replicates of its finalists, among whom the first ten choose by mean validation, as
             `confirm: {design: splits, finalists: N}` does.
    nested   An arm searches its half on each of the 20 splits anew; or each split draws 8
             configurations, the same for both arms, as `confirm.configurations` says.

Searches rank by validation accuracy, then by validation loss; test values are read of what was
chosen alone. The decision is that of search/results/evidence, at its margin, looked at after every
pair. Both arms are drawn by the same law, so that "better" is false of arms. With one finalist each
it may yet be true of these two configurations, of which alone the sentence of `splits` speaks:
where both arms confirm the same one, it is false of that too.

To see that the harness is not blind, one arm chooses what is worst by validation. The exit code is
1 where a bound is missed. All pairs are drawn from one bank, so that they are not independent of
each other: another bank (--trainings) moves a share more than their number suggests.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import numpy as np
from numpy.typing import NDArray
from verdict import Followed, Row

from search.job.spec import JobSpec
from search.results.evidence.betting import Floats
from search.results.evidence.pairs import Paired, default_margin
from search.results.ranking import CHOOSING
from search.study.sampling import draw_alike
from search.study.seeds import derive_seed
from spaces.config import TrialConfig
from trainables.data import tasks
from trainables.data.redealing import Split, Splits
from trainables.data.sequences import Data
from trainables.training.cohort import Cohort
from trainables.training.trainer import Training

JOB = Path(__file__).parents[2] / "deploy" / "jobs" / "quickstart.yaml"
ARM = "gru"
CONFIGURATIONS, SPLITS, SEEDS = 24, 20, 2
HALF, NESTED = CONFIGURATIONS // 2, 8
BOUND = 0.065  #: false "better": 5 %, and what 1,000 pairs may be beside it
SEEN = 0.5  #: "better", where one arm chooses the worst
Design = Literal["splits", "nested"]
DESIGNS: tuple[Design, ...] = ("splits", "nested")
Order = NDArray[np.int64]


@dataclass(frozen=True)
class Bank:
    """What each training gave, [configuration, split, seed]; of a diverged one the worst there is.

    validation: accuracy, -inf. loss: validation loss at the same epoch, inf. test: accuracy, NaN.
    """

    validation: Floats
    loss: Floats
    test: Floats

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Self:
        """Return a bank of rows that train() gave."""
        worst = (-np.inf, np.inf, np.nan)
        trained = [[[x or worst for x in split] for split in row["trained"]] for row in rows]
        return cls(*np.moveaxis(np.array(trained, dtype=np.float64), -1, 0))


def filled(folder: Path, design: Design, seed: int) -> Bank:
    """Return the bank in a folder; train what it lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{design}-{seed}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    wanted = list(configurations(seed))
    for row, config in zip(rows, wanted, strict=False):
        if row["config"] != config.model_dump(mode="json"):
            sys.exit(f"{path} must hold the quickstart's configurations: delete it")
    if len(rows) < CONFIGURATIONS:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))  # without half a line
        job = JobSpec.load(JOB)
        splits = Splits(tasks.load(job.task, job.base))
        dealt = [splits.of(Split(design, derive_seed(seed, "split", n))) for n in range(SPLITS)]
        for number in range(len(rows), CONFIGURATIONS):
            rows.append(train(wanted[number], dealt, design, seed, number))
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(f"{design}: {len(rows)} of {CONFIGURATIONS}", file=sys.stderr, flush=True)
    return Bank.of(rows)


def configurations(seed: int) -> Iterator[TrialConfig]:
    """Yield random configurations of the arm."""
    (arm,) = (arm for arm in JobSpec.load(JOB).arms if arm.name == ARM)
    for number in range(CONFIGURATIONS):
        yield draw_alike(arm, lambda name, n=number: derive_seed(seed, "bank", n, name)).config


def train(
    config: TrialConfig, dealt: list[Data], design: Design, seed: int, number: int
) -> dict[str, Any]:
    """Train a configuration on every split with every seed, all in one cohort."""
    began = time.process_time()
    cohort = Cohort(
        [
            Training(config, data, seed=derive_seed(seed, design, number, split, repeat))
            for split, data in enumerate(dealt)
            for repeat in range(SEEDS)
        ]
    )
    cohort.advance(config.max_epochs)
    found = [
        None
        if member.diverged or member.best is None or test is None
        else (member.best.value, member.best.loss, test["accuracy"])
        for member, test in zip(cohort.members, cohort.evaluate("test"), strict=True)
    ]
    return {
        "config": config.model_dump(mode="json"),
        "seconds": round(time.process_time() - began, 2),
        "trained": [found[at : at + SEEDS] for at in range(0, len(found), SEEDS)],
    }


@dataclass(frozen=True)
class PseudoArm:
    """One training of each configuration on each split: [configuration, split]."""

    validation: Floats
    loss: Floats
    test: Floats

    def best_first(self, chosen: Order, split: int) -> Order:
        """Return some configurations by their search on one split."""
        return chosen[np.lexsort((self.loss[chosen, split], -self.validation[chosen, split]))]

    def leader(self, chosen: Order, splits: Order) -> int:
        """Return the finalist with the best mean on validation data of some splits."""
        validation, loss = (
            values[np.ix_(chosen, splits)].mean(-1) for values in (self.validation, self.loss)
        )
        return int(chosen[np.lexsort((loss, -validation))[0]])

    @property
    def misled(self) -> Self:
        """The arm, choosing what is worst."""
        return replace(self, validation=-self.validation, loss=-self.loss)


def dealt_out(bank: Bank, rng: np.random.Generator) -> tuple[PseudoArm, PseudoArm]:
    """Return two arms that divide the seeds of every configuration and split by a coin."""
    coins = rng.integers(SEEDS, size=(CONFIGURATIONS, SPLITS, 1))
    values = (bank.validation, bank.loss, bank.test)
    first, second = (
        PseudoArm(*(np.take_along_axis(value, seed, -1)[..., 0] for value in values))
        for seed in (coins, 1 - coins)
    )
    return first, second


def half(rng: np.random.Generator) -> Order:
    """Return a random half of the configurations."""
    return rng.permutation(CONFIGURATIONS)[:HALF]


def finalists(
    first: PseudoArm, second: PseudoArm, rng: np.random.Generator, *, number: int, same: bool
) -> Paired:
    """Search on one split, and compare finalists over the others.

    number: finalists of each arm. same: both arms confirm what the first one found.
    """
    searched, *rest = rng.permutation(SPLITS)
    others = np.array(rest)
    ours, theirs = (
        arm.leader(arm.best_first(half(rng), searched)[:number], others[:CHOOSING])
        for arm in (first, second)
    )
    return Paired(first.test[ours, others], second.test[ours if same else theirs, others])


def searches(first: PseudoArm, second: PseudoArm, rng: np.random.Generator) -> Paired:
    """Compare what each arm finds in a half of its own, on every split."""
    halves = half(rng), half(rng)
    return Paired(
        *(
            np.array([arm.test[arm.best_first(own, n)[0], n] for n in range(SPLITS)])
            for arm, own in zip((first, second), halves, strict=True)
        )
    )


def small_searches(first: PseudoArm, second: PseudoArm, rng: np.random.Generator) -> Paired:
    """Compare what arms find among a few configurations, drawn for both on every split."""
    drawn = [rng.permutation(CONFIGURATIONS)[:NESTED] for _ in range(SPLITS)]
    return Paired(
        *(
            np.array([arm.test[arm.best_first(few, n)[0], n] for n, few in enumerate(drawn)])
            for arm in (first, second)
        )
    )


Way = Callable[[PseudoArm, PseudoArm, np.random.Generator], Paired]
#: What is compared, and in which bank.
WAYS: dict[str, tuple[Way, Design]] = {
    "splits, one finalist, the same for both": (partial(finalists, number=1, same=True), "splits"),
    "splits, one finalist each": (partial(finalists, number=1, same=False), "splits"),
    "splits, three finalists each": (partial(finalists, number=3, same=False), "splits"),
    "nested, a half for each": (searches, "nested"),
    f"nested, {NESTED} for both": (small_searches, "nested"),
}
BLIND = ("splits, three finalists each", "nested, a half for each")


def better(way: Way, bank: Bank, pairs: int, seed: int, *, misled: bool = False) -> float:
    """Return the share of comparisons with "better" at one of the looks, after every pair.

    misled: the second arm chooses what is worst.
    """
    rng, margin = np.random.default_rng(seed), default_margin(maximize=True)
    outcomes = []
    for _ in range(pairs):
        first, second = dealt_out(bank, rng)
        pair = way(first, second.misled if misled else second, rng)
        outcomes.append([pair.outcomes(margin, maximize=True)])
    return float(Followed.of(np.array(outcomes)).better.mean())


def rows(banks: dict[Design, Bank], pairs: int, seed: int) -> Iterator[Row]:
    """Yield the shares of "better", beside their bounds."""
    for name, (way, design) in WAYS.items():
        yield Row(f"A/A, {name}: false better", better(way, banks[design], pairs, seed), BOUND)
    for name in BLIND:
        way, design = WAYS[name]
        seen = better(way, banks[design], pairs, seed, misled=True)
        yield Row(f"blind? {name}, one choosing the worst: better", seen, SEEN, at_least=True)


def main() -> int:
    """Fill the bank, print the table; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bank", type=Path, required=True, help="folder of what was trained")
    parser.add_argument("--pairs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the pairs that are drawn")
    parser.add_argument("--trainings", type=int, default=0, help="seed of the bank")
    options = parser.parse_args()
    banks = {design: filled(options.bank, design, options.trainings) for design in DESIGNS}
    kept = True
    for row in rows(banks, options.pairs, options.seed):
        kept &= row.kept
        print(row, flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
