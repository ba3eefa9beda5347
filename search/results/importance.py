"""Which settings explain the spread of an arm's values, alone and two together.

Functional ANOVA of a forest of regression trees (Hutter, Hoos and Leyton-Brown, ICML 2014). A tree
is constant on boxes of settings, so that the variance that one setting explains, or two together,
is a sum over pairs of its leaves, and exact. What is explained is the rank of a value, as the share
of trials that are worse: it is the same on any scale of the metric, and a diverged trial is simply
the worst.

The trials are the controls, which are drawn at random and so show the whole space evenly. Where an
arm has too few of them, its complete trials are used, and the result says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.journal.trial import TrialResult
from search.results.settings import varying
from spaces.kinds import Metric

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeRegressor

#: With fewer trials a forest has nothing to learn from.
MIN_TRIALS = 12
#: A forest that explains no more than this of trials that it has not seen has found nothing.
_LEAST_EXPLAINED = 0.05
_FOLDS = 5  #: of the trials, each of which one forest has not seen
_TREES = 20
_LEAVES = 40  #: of a tree, at most: the cost grows with their square
_LEVELS = 32  #: that a setting's values are told apart in, at most

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """The share of the variance that one setting explains, or two do beyond each of them alone."""

    names: tuple[str, ...]
    mean: float  #: over forests of four fifths of the trials, as are low and high
    low: float
    high: float

    @property
    def label(self) -> str:
        """Return "depth", or "depth × dropout"."""
        return " × ".join(self.names)


@dataclass(frozen=True)
class Importance:
    """Shares, largest first; or the reason why there are none."""

    trials: int  #: that the shares are computed from
    controls: bool  #: whether these are the controls, not all complete trials
    shares: tuple[Share, ...] = ()  #: of single settings
    interactions: tuple[Share, ...] = ()  #: of two settings
    explained: float = 0.0  #: of the variance of trials that the forest has not seen
    reason: str | None = None


def importance(trials: Sequence[TrialResult]) -> Importance:
    """Return the importance of the settings that vary over one arm's trials.

    trials: of the arm's search phase.
    """
    used = sample(trials)
    controls = len(_controls(trials)) >= MIN_TRIALS
    names = varying([trial.config for trial in used])
    number = len(used)
    if number < MIN_TRIALS:
        reason = f"{number} complete trials are too few: {MIN_TRIALS} are needed"
        return Importance(number, controls, reason=reason)
    if not names:
        return Importance(number, controls, reason="all trials have the same configuration")
    ranks = _ranks([trial.value if _scored(trial) else None for trial in used], used[0].metric)
    if np.ptp(ranks) == 0:
        return Importance(number, controls, reason="all trials have the same value")
    codes = np.stack(
        [_coded([getattr(trial.config, name) for trial in used], ranks) for name in names], axis=1
    )
    alone, together, explained = _fitted(codes, ranks, names)
    if explained < _LEAST_EXPLAINED:
        reason = (
            f"the settings do not tell the values of {number} trials: a model of most of them "
            "says nothing of the others"
        )
        return Importance(number, controls, explained=explained, reason=reason)
    return Importance(number, controls, alone, together, explained)


def sample(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the trials by which settings are judged: controls, or all complete ones, by number.

    trials: of one arm's search phase. A control that diverged is among them.
    """
    controls = _controls(trials)
    if len(controls) >= MIN_TRIALS:
        return controls
    return [trial for trial in _ordered(trials) if _scored(trial)]


def _controls(trials: Sequence[TrialResult]) -> list[TrialResult]:
    return [t for t in _ordered(trials) if t.control and (_scored(t) or t.state == "diverged")]


def _ordered(trials: Sequence[TrialResult]) -> list[TrialResult]:
    return sorted(trials, key=lambda trial: trial.number)


def _scored(trial: TrialResult) -> bool:
    return trial.state == "complete" and trial.value is not None


def _ranks(values: Sequence[float | None], metric: Metric) -> Floats:
    """Return the share of trials that are worse than each, those as good counted half."""
    costs = np.array([np.inf if value is None else metric.cost(value) for value in values])
    worse = (costs[:, None] < costs[None, :]).sum(axis=1)
    same = (costs[:, None] == costs[None, :]).sum(axis=1)
    return np.asarray((worse + same / 2) / len(costs))


def _coded(values: Sequence[Any], ranks: Floats) -> NDArray[np.int64]:
    """Return a setting's values as whole numbers from 0 on.

    Numbers are in their order, in levels of equally many trials where there are too many. Names are
    ordered by what they reach: so one split of a tree can part any of them from the others.
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        known, codes = np.unique(np.array(values, dtype=np.float64), return_inverse=True)
        if len(known) > _LEVELS:
            order = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
            codes = order * _LEVELS // len(codes)
        return codes.astype(np.int64)
    options = {value: float(ranks[[v == value for v in values]].mean()) for value in set(values)}
    places = {
        value: n for n, value in enumerate(sorted(options, key=lambda v: (options[v], str(v))))
    }
    return np.array([places[value] for value in values])


def _fitted(
    codes: NDArray[np.int64], ranks: Floats, names: Sequence[str]
) -> tuple[tuple[Share, ...], tuple[Share, ...], float]:
    """Return the shares of single settings and of two, and what is explained of other trials.

    Each forest is of four fifths of the trials: its shares are one of those that a share is the
    mean of, and the other fifth is what it has not seen.
    """
    weights = [np.bincount(column) / len(column) for column in codes.T]
    order = np.random.default_rng(0).permutation(len(ranks))
    found, squares = [], 0.0
    for fold in np.array_split(order, _FOLDS):
        rest = np.setdiff1d(order, fold)
        forest = _forest(codes[rest], ranks[rest])
        guessed = np.mean([tree.predict(codes[fold]) for tree in forest], axis=0)
        squares += float(((ranks[fold] - guessed) ** 2).sum())
        parts = [variances(tree, weights) for tree in forest]
        total = sum(whole for whole, _ in parts)
        if total > 0:
            sums = np.sum([list(own.values()) for _, own in parts], axis=0)
            found.append(dict(zip(parts[0][1], sums / total, strict=True)))
    shares = [
        Share(
            tuple(names[place] for place in places),
            float(np.mean(own)),
            float(np.min(own)),
            float(np.max(own)),
        )
        for places in (found[0] if found else ())
        for own in [[max(0.0, each[places]) for each in found]]
    ]
    shares.sort(key=lambda share: -share.mean)
    alone = tuple(share for share in shares if len(share.names) == 1)
    together = tuple(share for share in shares if len(share.names) == 2)
    return alone, together, 1 - squares / float(((ranks - ranks.mean()) ** 2).sum())


def _forest(codes: NDArray[np.int64], ranks: Floats) -> "list[DecisionTreeRegressor]":
    """Return trees, each of a bootstrap sample, which split along some of the settings."""
    # Not RandomForestRegressor: what it does around each tree takes longer than the tree.
    from sklearn.tree import DecisionTreeRegressor

    generator = np.random.default_rng(0)
    forest = []
    for number in range(_TREES):
        drawn = generator.integers(len(ranks), size=len(ranks))
        tree = DecisionTreeRegressor(
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=2,
            max_features=max(1, round(codes.shape[1] * 2 / 3)),
            random_state=number,
        )
        forest.append(tree.fit(codes[drawn].astype(np.float32), ranks[drawn], check_input=False))
    return forest


def variances(
    tree: "DecisionTreeRegressor", weights: Sequence[Floats]
) -> tuple[float, dict[tuple[int, ...], float]]:
    """Return the variance of a tree's values, and the parts of it that settings explain.

    weights: for each setting the shares of its codes, which are independent of each other.
    """
    inside, values = _leaves(tree, [len(each) for each in weights])
    # Of leaf l: the share of each setting's codes in it; of two leaves: of the codes in both.
    within = [own @ share for own, share in zip(inside, weights, strict=True)]
    both = [(own * share) @ own.T for own, share in zip(inside, weights, strict=True)]
    volumes = np.prod(within, axis=0)
    mean = float(volumes @ values)
    total = float(volumes @ values**2) - mean**2
    parts: dict[tuple[int, ...], float] = {}
    for place, share in enumerate(within):
        own = values * volumes / share
        parts[place,] = float(own @ both[place] @ own) - mean**2
    for a, b in combinations(range(len(weights)), 2):
        own = values * volumes / (within[a] * within[b])
        together = float(own @ (both[a] * both[b]) @ own) - mean**2
        parts[a, b] = together - parts[a,] - parts[b,]
    return total, parts


def _leaves(tree: "DecisionTreeRegressor", sizes: Sequence[int]) -> tuple[list[Floats], Floats]:
    """Return for each setting which codes lie in which leaf [leaves, codes], and leaves' values."""
    nodes = tree.tree_
    boxes: list[tuple[int, list[Floats]]] = []
    waiting = [(0, [np.ones(size) for size in sizes])]
    while waiting:
        node, box = waiting.pop()
        if nodes.children_left[node] < 0:
            boxes.append((node, box))
            continue
        setting = nodes.feature[node]
        low = np.arange(sizes[setting]) <= nodes.threshold[node]
        for child, side in ((nodes.children_left[node], low), (nodes.children_right[node], ~low)):
            own = box.copy()
            own[setting] = box[setting] * side
            waiting.append((child, own))
    inside = [np.stack([box[setting] for _, box in boxes]) for setting in range(len(sizes))]
    return inside, nodes.value[[node for node, _ in boxes], 0, 0]
