"""What the verdict's rules do where the truth is known: every bound that they must keep.

    python tests/benchmarks/verdict.py [--comparisons 2000] [--seed 0]

Each row simulates comparisons that are looked at after every pair up to 100, and prints a share or
a mean beside the bound that is demanded of it. Where two arms are equal, a bound on "better" is a
bound on a false claim. The exit code is 1 where a bound is missed. Takes four minutes on one core.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from search.results.evidence.bands import best_of_n
from search.results.evidence.betting import Counts, Floats, log_capital
from search.results.evidence.claims import claims
from search.results.evidence.decision import decide
from search.results.evidence.difference import always_valid
from search.results.evidence.signed_rank import bayesian
from search.results.evidence.stratified import mean_interval

PAIRS = 100
ALPHA = 0.05
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """A figure with its bound."""

    claim: str
    value: float
    bound: float
    at_least: bool = False
    share: bool = True

    @property
    def kept(self) -> bool:
        """Whether the bound is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        value, bound = (
            f"{100 * x:6.2f} %" if self.share else f"{x:6.1f}  " for x in (self.value, self.bound)
        )
        sign = ">=" if self.at_least else "<="
        return f"{'' if self.kept else 'MISSED ':7}{self.claim:72} {value}   {sign} {bound}"


@dataclass(frozen=True)
class Followed:
    """Comparisons that end at their first decision: [comparison, pair of arms]."""

    better: Bools
    equivalent: Bools
    ended: Floats  #: after how many pairs, PAIRS where nothing was decided

    @classmethod
    def of(cls, outcomes: Floats) -> "Followed":
        """Follow outcomes X of shape [comparison, pair of arms, PAIRS], looking at each."""
        wins, losses = (outcomes == 1).cumsum(-1), (outcomes == 0).cumsum(-1)
        ties = np.arange(1, outcomes.shape[-1] + 1) - wins - losses
        together = [np.moveaxis(count, -1, 1) for count in (wins, ties, losses)]
        better, equivalent = (np.moveaxis(x, 1, -1) for x in decide(Counts(*together), ALPHA))
        decided = better | equivalent
        first = decided.argmax(-1)
        at = np.take_along_axis(better, first[..., None], -1)[..., 0]
        found = decided.any(-1)
        return cls(found & at, found & ~at, np.where(found, first + 1, PAIRS))


def outcomes(
    rng: np.random.Generator, shape: tuple[int, ...], probability: float, ties: float = 0.0
) -> Floats:
    """Draw X with a mean of `probability` and this share of ties."""
    drawn = rng.random(shape)
    wins, ties_too = probability - ties / 2, probability + ties / 2
    return np.where(drawn < wins, 1.0, np.where(drawn < ties_too, 0.5, 0.0))


def decisions(rng: np.random.Generator, n: int) -> Iterator[Row]:
    """The rule for one pair of arms and for three arms."""
    for ties in (0.0, 0.3, 0.8):
        equal = Followed.of(outcomes(rng, (n, 1, PAIRS), 0.5, ties))
        yield Row(f"A/A, {ties:g} ties: false better", equal.better.mean(), 0.035)
        yield Row(f"A/A, {ties:g} ties: equivalent", equal.equivalent.mean(), 0.95, at_least=True)
    three = Followed.of(_three_equal_arms(rng, n))
    yield Row("three equal arms: any false better", three.better.any(-1).mean(), 0.05)
    mixed = Followed.of(_two_equal_and_a_worse_arm(rng, n))
    yield Row("two equal arms and a worse one: false better", mixed.better[:, 0].mean(), 0.05)
    for probability, power, most in ((0.75, 0.94, 36), (0.95, 0.995, 12)):
        found = Followed.of(outcomes(rng, (n, 1, PAIRS), probability))
        name = f"P = {probability:g}"
        yield Row(f"{name}: better by {PAIRS} pairs", found.better.mean(), power, at_least=True)
        yield Row(f"{name}: pairs on average", found.ended.mean(), most, share=False)
        yield Row(f"{name}: equivalent", found.equivalent.mean(), 0.05)
    tied = Followed.of(np.full((1, 1, PAIRS), 0.5))
    yield Row("all ties: pairs until equivalent", tied.ended[0, 0], 7, at_least=True, share=False)


def _three_equal_arms(rng: np.random.Generator, n: int) -> Floats:
    """Outcomes of the three pairs of arms whose replicates are alike: pairs that depend."""
    values = rng.normal(size=(n, 3, PAIRS))
    return _compared(values, ((0, 1), (0, 2), (1, 2)))


def _two_equal_and_a_worse_arm(rng: np.random.Generator, n: int) -> Floats:
    values = rng.normal(size=(n, 3, PAIRS))
    values[:, 2] -= 2.0
    return _compared(values, ((0, 1), (0, 2), (1, 2)))


def _compared(values: Floats, pairs: tuple[tuple[int, int], ...]) -> Floats:
    gains = np.stack([values[:, a] - values[:, b] for a, b in pairs], axis=1)
    return (1.0 + np.sign(gains)) / 2


def intervals(rng: np.random.Generator, n: int) -> Iterator[Row]:
    """Confidence sequences: do they hold the truth at all numbers of pairs at once?"""
    for probability, ties in ((0.5, 0.0), (0.5, 0.8), (0.6, 0.3), (0.75, 0.0), (0.95, 0.0)):
        drawn = outcomes(rng, (n, PAIRS), probability, ties)
        wins, losses = (drawn == 1).cumsum(-1), (drawn == 0).cumsum(-1)
        counts = Counts(wins, np.arange(1, PAIRS + 1) - wins - losses, losses)
        refuted = np.log(2 / ALPHA)
        out = (log_capital(counts, probability) >= refuted) | (
            log_capital(counts.swapped, 1 - probability) >= refuted
        )
        name = f"confidence sequence holds P = {probability:g}, {ties:g} ties, to {PAIRS} pairs"
        yield Row(name, 1 - out.any(-1).mean(), 0.95, at_least=True)
    draws: dict[str, Callable[[], Floats]] = {
        "normal": lambda: rng.normal(size=PAIRS),
        "uniform": lambda: rng.random(PAIRS) - 0.5,
        "many zeros": lambda: rng.normal(size=PAIRS) * (rng.random(PAIRS) < 0.4),
    }
    for name, draw in draws.items():
        held = [_always_holds(draw()) for _ in range(n // 4)]
        claim = f"mean difference within its interval at all times, {name}"
        yield Row(claim, float(np.mean(held)), 0.95, at_least=True)


def _always_holds(differences: Floats) -> bool:
    bounds = (always_valid(differences[:k], ALPHA) for k in range(2, PAIRS + 1))
    return all(found is None or found[0] <= 0 <= found[1] for found in bounds)


def designs(rng: np.random.Generator, n: int) -> Iterator[Row]:
    """Arms that are equal over splits, though not on a split: what each design makes of it.

    Ratios are standard deviations of the arms' difference: arm x split over seed.
    """
    for ratio in (0.0, 0.5, 1.0, 2.0):
        for design, draw in (("splits", _splits), ("nested", _nested)):
            found = Followed.of((1.0 + np.sign(draw(rng, n, ratio)))[:, None] / 2)
            claim = f"{design}, arm x split {ratio:g} times seed: false better"
            yield Row(claim, found.better.mean(), 0.05)
    for ratio, bound in ((1.0, 0.30), (2.0, 0.30)):
        own = rng.normal(size=(n, 1)) * ratio  # one split: drawn once for all pairs
        wins = (own + rng.normal(size=(n, 10)) > 0).sum(-1)
        claim = f"blind? ONE split, {ratio:g} times seed, percentile bootstrap, n = 10"
        yield Row(claim, _percentile_bootstrap(wins, 10).mean(), bound, at_least=True)


def _splits(rng: np.random.Generator, n: int, ratio: float) -> Floats:
    """Differences of finalists over re-dealt splits, one seed a split."""
    return ratio * rng.normal(size=(n, PAIRS)) + rng.normal(size=(n, PAIRS))


def _nested(rng: np.random.Generator, n: int, ratio: float) -> Floats:
    """Differences of searches: the best by validation of 4 configurations on each new split."""

    def arm() -> Floats:
        own = ratio * rng.normal(size=(n, PAIRS)) / np.sqrt(2)
        configurations = rng.normal(size=(n, PAIRS, 4))
        seen = configurations + rng.normal(size=configurations.shape) / np.sqrt(2)
        chosen = np.take_along_axis(configurations, seen.argmax(-1)[..., None], -1)[..., 0]
        return own + chosen + rng.normal(size=(n, PAIRS)) / np.sqrt(2)

    return arm() - arm()


def _percentile_bootstrap(wins: NDArray[np.int64], n: int) -> Bools:
    """Return whether the 95 % percentile interval of P excludes 1/2: exactly, without drawing."""
    low, high = (binom.ppf(q, n, wins / n) for q in (0.025, 0.975))
    return np.asarray((low > n / 2) | (high < n / 2))


def bands(rng: np.random.Generator, n: int) -> Iterator[Row]:
    """Bands of the best of n controls, at all n up to a quarter of them at once."""
    grid = np.linspace(0.0, 1.0, 8)
    laws: dict[str, tuple[Callable[[int], Floats], Callable[[Floats], Floats]]] = {
        "beta(8, 2)": (lambda k: rng.beta(8, 2, k), _quantiles(rng.beta(8, 2, 2_000_001))),
        "8 values, heavy ties": (lambda k: rng.choice(grid, k), lambda p: grid[_rank(p, 8)]),
        "20 % diverged": (
            lambda k: np.where(rng.random(k) < 0.2, np.nan, rng.random(k)),
            lambda p: np.where(p <= 0.2, np.nan, (p - 0.2) / 0.8),
        ),
    }
    for name, (draw, quantile) in laws.items():
        for size in (16, 32):
            held = [_curve_holds(draw(size), quantile) for _ in range(n)]
            claim = f"band of the best of n <= {size // 4}, {size} controls, {name}"
            yield Row(claim, float(np.mean(held)), 0.94, at_least=True)


def _quantiles(sample: Floats) -> Callable[[Floats], Floats]:
    return lambda p: np.quantile(sample, p)


def _rank(p: Floats, size: int) -> NDArray[np.int64]:
    return np.ceil(p * size - 1e-9).astype(np.int64) - 1


def _curve_holds(values: Floats, quantile: Callable[[Floats], Floats]) -> bool:
    curve = best_of_n([None if np.isnan(v) else float(v) for v in values], maximize=True)
    truth = quantile(0.5 ** (1 / np.array([float(point.n) for point in curve])))
    return all(
        point.worse <= true <= point.better for point, true in zip(curve, truth, strict=True)
    )


def tasks(rng: np.random.Generator, n: int) -> Iterator[Row]:
    """Claims over tasks: gains of two arms, in margins, that vary from task to task."""
    few = n // 2

    def claimed(gains: Floats, what: str) -> float:
        """gains: [comparison, pair of arms, task]. The share with any such claim."""
        return float(
            np.mean([any(c.decision == what for c in claims(each, 1.0, ALPHA)) for each in gains])
        )

    for number, spread in ((6, 5.0), (6, 50.0), (12, 5.0)):
        equal = rng.normal(0, spread, (few, 1, number))
        name = f"{number} tasks, equal on average, gains ± {spread:g} margins"
        yield Row(f"{name}: false better", claimed(equal, "better"), 0.05)
    alone = np.mean([max(bayesian(each, 1.0)[::2]) >= 0.95 for each in rng.normal(0, 50, (few, 6))])
    yield Row("blind? the Bayesian test alone, 6 tasks, ± 50", float(alone), 0.10, at_least=True)
    arms = rng.normal(0, 20, (few, 3, 8))
    three = np.stack([arms[:, a] - arms[:, b] for a, b in ((0, 1), (0, 2), (1, 2))], axis=1)
    yield Row("8 tasks, three equal arms: any false better", claimed(three, "better"), 0.05)
    edge = rng.normal(1, 0.5, (few, 1, 8))
    yield Row("8 tasks, gains of one margin: false better", claimed(edge, "better"), 0.05)
    yield Row("8 tasks, gains of one margin: equivalent", claimed(edge, "equivalent"), 0.05)
    same, clear = rng.normal(0, 0.5, (few, 1, 8)), rng.normal(3, 1.5, (few, 1, 8))
    yield Row("8 tasks, gains ± 0.5: equivalent", claimed(same, "equivalent"), 0.9, at_least=True)
    yield Row("8 tasks, gains of 3 ± 1.5: better", claimed(clear, "better"), 0.8, at_least=True)
    for number in (2, 6):
        held = [_mean_held(rng, number) for _ in range(few)]
        name = f"mean of P over {number} unequal tasks within its interval at 5 looks"
        yield Row(name, float(np.mean(held)), 0.95, at_least=True)


def _mean_held(rng: np.random.Generator, number: int) -> bool:
    shares = rng.uniform(0.2, 1.0, number)
    wins = (rng.random((number, PAIRS)) < shares[:, None]).cumsum(1)
    return all(
        low <= shares.mean() <= high
        for looked in (3, 8, 20, 50, 100)
        for seen in [wins[:, looked - 1].astype(np.float64)]
        for low, high in [
            mean_interval([Counts(w, np.float64(0), looked - w) for w in seen], ALPHA)
        ]
    )


def main() -> int:
    """Print the table; return 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kept = True
    for part in (decisions, intervals, designs, bands, tasks):
        for row in part(np.random.default_rng(options.seed), options.comparisons):
            kept &= row.kept
            print(row, flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
