"""What can be predicted without a model: scores that an arm must beat to have learned anything.

    classification  majority     the classes' shares in training, whatever the sequence is
    tagging         majority     the same, of steps
                    by-step      the same of each step by its place, where all sequences have one
                                 length
    multi-label     label-rates  how often each label is on in training
    regression      target-mean  the mean of the training targets
    forecasting     last-value   the last value before the forecast, for all steps
                    seasonal     the values one season before, where the task names its season
    next-token      unigram      the symbols' shares in training
                    bigram       the same after each symbol
    next-step       label-rates  how often each label is on in training
                    last-frame   the same after frames in which it was on, and was off

Fitted on the training part, and scored on validation and test data by the formulas that score
trainings. Shares are counted with half a case more for each outcome (Krichevsky & Trofimov, IEEE
Transactions on Information Theory 27, 1981): what never occurred in training has a finite loss.
NumPy only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.forecast import ForecastSection
from spaces.kinds import TaskKind
from trainables.data.naive_spread import naive_losses
from trainables.data.sequences import Data, Sequences
from trainables.data.series import naive
from trainables.data.transforms import undone
from trainables.part_metrics import part_metric, summed_metrics

#: Sums over the targets of a part: of their losses, of correct predictions, of targets; and the
#: same output [O] for every target, or [n, O], where a metric may need all predictions at once.
Sums = tuple[float, float, float] | tuple[float, float, float, "Array"]
Score = Callable[[Sequences], Sums]
Array = NDArray[Any]


@dataclass(frozen=True)
class Baseline:
    """A prediction without a model, and all metrics of the task that it reaches."""

    name: str
    validation: dict[str, float]
    test: dict[str, float]
    test_sequences: int | None = None  #: of the test part; None where an earlier version ran
    #: Of training and validation part together, which may come again in those of another split;
    #: None where every split draws new data, or where an earlier version ran.
    search_sequences: int | None = None
    train_sequences: int | None = None  #: of the training part; None where an earlier version ran


def baselines(data: Data) -> list[Baseline]:
    """Return the baselines of a task's kind, the simplest one first."""

    def metrics(score: Score, part: Sequences) -> dict[str, float]:
        loss, correct, count, *same = score(part)
        sums = float(loss), float(correct), float(count)
        found = summed_metrics(data.info, *sums, data.unit(part))
        name = data.info.metric.name
        for output in same if data.info.by_part else ():
            targets, each = _targets(part), np.atleast_1d(output)
            outputs = np.broadcast_to(each, (len(targets), each.shape[-1]))
            outputs, targets = _in_units(part, outputs, targets)
            found[name] = part_metric(name, outputs, targets, data.unit(part))
        return found

    drawn = data.dealing.by == "draws"
    learned = None if drawn else len(data.train) + len(data.validation)
    sizes = len(data.test), learned, len(data.train)
    fitted = [
        (name, fit(data)) for name, fit in BASELINES[data.info.kind].items() if _applies(name, data)
    ]
    return [
        Baseline(name, metrics(score, data.validation), metrics(score, data.test), *sizes)
        for name, score in fitted
    ]


def _in_units(part: Sequences, outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Return forecasts and targets in the units that figures are told in; others as they are."""
    levels, series = part.levels(), part.series
    if levels is not None and series is not None:
        _, deviation = part.y_scaling or (0.0, 1.0)
        outputs, targets = (
            undone(levels + deviation * each, series.transform) / deviation
            for each in (outputs, targets)
        )
    if part.naive_error is not None:
        unit = part.naive_error[:, None].astype(np.float64)
        outputs, targets = outputs / unit, targets / unit
    return outputs, targets


def _majority_class(data: Data) -> Score:
    counts = np.bincount(_targets(data.train), minlength=data.info.outputs)
    log_p, majority = np.log(_shares(counts)), np.argmax(counts)

    def score(part: Sequences) -> Sums:
        y = _targets(part)
        return -log_p[y].sum(), (y == majority).sum(), len(y), log_p

    return score


def _by_step(data: Data) -> Score:
    """Return the score of the classes' shares at each place of sequences of one length."""
    steps = data.info.longest
    y_NT = _targets(data.train).reshape(-1, steps)
    counts = np.stack([np.bincount(y, minlength=data.info.outputs) for y in y_NT.T])
    log_p, majority = np.log(np.stack([*map(_shares, counts)])), counts.argmax(axis=1)

    def score(part: Sequences) -> Sums:
        y = _targets(part)
        at = np.arange(len(y)) % steps
        return -log_p[at, y].sum(), (y == majority[at]).sum(), len(y), log_p[at]

    return score


def _applies(name: str, data: Data) -> bool:
    """Return whether a baseline is one of the task: not of every task of its kind is each."""
    if name == "seasonal":
        return _season(data) is not None
    longest = data.info.longest
    return name != "by-step" or all((part.lengths == longest).all() for part in data.parts)


def _target_mean(data: Data) -> Score:
    mean = _targets(data.train).mean(axis=0, dtype=np.float64)

    def score(part: Sequences) -> Sums:
        y = _targets(part).astype(np.float64)
        return np.square(y - mean).sum() / mean.size, 0, len(y), mean

    return score


def _season(data: Data) -> int | None:
    spec = data.dealing.spec
    return spec.season_steps if isinstance(spec, ForecastSection) else None


def _last_value(data: Data) -> Score:
    return _naive(data, 1)


def _seasonal(data: Data) -> Score:
    return _naive(data, _season(data) or 1)


def _naive(data: Data, season: int) -> Score:
    """Return the score of the values of the last season before a forecast, over and over.

    Of a distribution, with the spread of their errors in training at each step ahead: their root
    mean square (Hyndman & Athanasopoulos 2021, Forecasting: principles and practice, section 5.5),
    or their quantiles around the median.
    """
    horizon = data.info.steps_ahead

    def values_of(part: Sequences) -> tuple[Array, Array]:
        """Return targets and naive forecasts, [n, horizon] each."""
        assert part.series is not None
        series, ends = part.series, part.starts + part.lengths
        values = naive(series.values, ends, horizon, season).astype(np.float64)
        values -= naive(series.values, ends, horizon, series.lag)  # as targets are
        mean, deviation = part.y_scaling or (0.0, 1.0)
        return _targets(part).astype(np.float64), (values - mean) / deviation

    y, found = values_of(data.train)
    losses = naive_losses(data.info.ahead, y - found)

    def score(part: Sequences) -> Sums:
        y, found = values_of(part)
        return losses(y - found).sum(), 0, len(y), found

    return score


def _rates_of_labels(data: Data) -> Score:
    """Return the score of the share of training sequences in which each label is on."""
    y = _targets(data.train)
    on = (y.sum(axis=0) + 0.5) / (len(y) + 1)
    log_on, log_off, logits = np.log(on), np.log1p(-on), np.log(on) - np.log1p(-on)

    def score(part: Sequences) -> Sums:
        y = _targets(part)
        loss = -(y * log_on + (1 - y) * log_off).mean(axis=1).sum()
        return loss, ((logits > 0) == (y > 0)).all(axis=1).sum(), len(y), logits

    return score


def _unigram(data: Data) -> Score:
    _, after = _pairs(data.train)
    counts = np.bincount(after, minlength=data.info.outputs)
    log_p, commonest = np.log(_shares(counts)), np.argmax(counts)

    def score(part: Sequences) -> Sums:
        _, after = _pairs(part)
        return -log_p[after].sum(), (after == commonest).sum(), len(after)

    return score


def _bigram(data: Data) -> Score:
    """Return the score of shares after each symbol, with the unigram's for one case more."""
    symbols = data.info.outputs
    before, after = _pairs(data.train)
    shares = _shares(np.bincount(after, minlength=symbols))
    times = np.bincount(before, minlength=symbols)
    pairs, counts = np.unique(before * symbols + after, return_counts=True)
    commonest = np.full(symbols, np.argmax(shares))
    # Of a symbol's followers the likeliest is written last.
    order = np.argsort(counts + shares[pairs % symbols], kind="stable")
    commonest[pairs[order] // symbols] = pairs[order] % symbols

    def score(part: Sequences) -> Sums:
        before, after = _pairs(part)
        wanted = before * symbols + after
        at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        found = np.where(pairs[at] == wanted, counts[at], 0)
        p = (found + shares[after]) / (times[before] + 1)
        return -np.log(p).sum(), (after == commonest[before]).sum(), len(after)

    return score


def _label_rates(data: Data) -> Score:
    _, after = _pairs(data.train)
    return lambda part: _binary_loss(_rates(after), _pairs(part)[1])


def _last_frame(data: Data) -> Score:
    before, after = _pairs(data.train)
    rates = np.stack([_rates(after, before == state) for state in (0, 1)])

    def score(part: Sequences) -> Sums:
        before, after = _pairs(part)
        return _binary_loss(np.where(before == 1, rates[1], rates[0]), after)

    return score


def _targets(part: Sequences) -> Array:
    assert part.targets is not None
    return part.targets


def _pairs(part: Sequences) -> tuple[Array, Array]:
    """Return all steps that are predicted, and before them those that come just before each."""
    steps = part.all_steps()
    follows = np.ones(len(steps), np.bool_)
    follows[np.cumsum(part.lengths) - part.lengths] = False
    at = np.flatnonzero(follows)
    return steps[at - 1], steps[at]


def _shares(counts: Array) -> Array:
    """Return the shares of outcomes that exclude each other, from how often each occurred."""
    shares: Array = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _rates(frames: Array, chosen: Array | None = None) -> Array:
    """Return how often each label is on in frames [n, labels], or in those that are chosen for it.

    chosen: [n, labels] truth values.
    """
    on = frames == 1
    times = np.full(on.shape[1], len(on)) if chosen is None else chosen.sum(axis=0)
    rates: Array = ((on if chosen is None else on & chosen).sum(axis=0) + 0.5) / (times + 1)
    return rates


def _binary_loss(rates: Array, frames: Array) -> Sums:
    """Return the sums of the negative log-likelihood of frames [n, labels]."""
    return -np.log(np.where(frames == 1, rates, 1 - rates)).sum(), 0, len(frames)


#: The baselines of each kind of task: name, and what fits it on a training part.
BASELINES: dict[TaskKind, dict[str, Callable[[Data], Score]]] = {
    "classification": {"majority": _majority_class},
    "tagging": {"majority": _majority_class, "by-step": _by_step},
    "multi-label": {"label-rates": _rates_of_labels},
    "regression": {"target-mean": _target_mean},
    "forecasting": {"last-value": _last_value, "seasonal": _seasonal},
    "next-token": {"unigram": _unigram, "bigram": _bigram},
    "next-step": {"label-rates": _label_rates, "last-frame": _last_frame},
}
