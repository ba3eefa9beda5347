"""A rule answers what the scores say, in either direction, and says so where they do not tell."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from claimed_jobs import controlled, curve, measured, scored

from search.results.claims import constrained, duels, failing, speed
from search.results.claims.finding import Finding

HIGH, LOW, NEAR, FEW = [0.95] * 12, [0.80] * 12, [0.952] * 12, [0.95, 0.80]
#: Scores of lstm and gru on a task whose metric is maximized, and what each rule answers.
DUELS: list[tuple[Callable[..., Iterator[Finding]], list[float], list[float], str]] = [
    (duels.no_difference, HIGH, NEAR, "holds"),
    (duels.no_difference, HIGH, LOW, "does not hold"),
    (duels.no_difference, FEW, FEW, "cannot tell"),
    (duels.better, HIGH, LOW, "holds"),
    (duels.better, HIGH, NEAR, "does not hold"),
    (duels.better, LOW, HIGH, "does not hold"),
    (duels.better, FEW, FEW, "cannot tell"),
    (duels.not_worse, HIGH, LOW, "holds"),
    (duels.not_worse, HIGH, NEAR, "holds"),
    (duels.not_worse, LOW, HIGH, "does not hold"),
    (duels.not_worse, FEW, FEW, "cannot tell"),
]


def only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


@pytest.mark.parametrize(("rule", "first", "second", "answer"), DUELS)
def test_a_duel_answers_by_the_decision_on_its_pairs(
    rule: Callable[..., Iterator[Finding]], first: list[float], second: list[float], answer: str
) -> None:
    found = only(rule(scored("vowels", {"lstm": first, "gru": second}), "lstm", "gru"))
    assert found.answer == answer
    assert f"{len(first)} pairs" in found.numbers and found.task == "japanese-vowels"


def test_less_is_better_where_the_metric_is_a_loss() -> None:
    results = scored("symbolic-equal", {"lstm": [1.0] * 12, "gru": [0.5] * 12})
    assert only(duels.better(results, "gru", "lstm")).answer == "holds"
    assert only(duels.better(results, "lstm", "gru")).answer == "does not hold"


def test_a_diverged_replicate_loses_its_pair() -> None:
    results = scored("vowels", {"lstm": [None] * 12, "gru": LOW})
    assert only(duels.better(results, "gru", "lstm")).answer == "holds"


@pytest.mark.parametrize("job", ["vowels", "symbolic"])
@pytest.mark.parametrize(
    ("lstm", "gru", "answer"),
    [(0.05, 0.02, "holds"), (0.02, 0.05, "does not hold"), (0.05, 0.048, "does not hold")],
)
def test_the_larger_gap_is_that_of_the_arm_that_fits_better_than_it_generalises(
    job: str, lstm: float, gru: float, answer: str
) -> None:
    tests = {"lstm": HIGH, "gru": LOW}  # which one is better plays no part
    results = scored(job, tests, {"lstm": lstm, "gru": gru})
    assert only(duels.larger_gap(results, "lstm", "gru")).answer == answer


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [(1.0, "does not hold"), (1.5, "holds"), (5.0, "holds")],
)
def test_layers_help_only_by_what_they_reach_in_the_time_of_the_shallow_arm(
    seconds: float, answer: str
) -> None:
    """In the time of 20 epochs of one layer three reach 0.95, 0.7 or nothing; in the end 0.95."""
    results = scored("depth-10", {"one-layer": [0.8] * 12, "three-layers": [0.99] * 12})
    curves = {"one-layer": curve([0.8] * 20), "three-layers": curve([0.7] * 19 + [0.95])}
    for place, trial in enumerate(results.trials):
        results.trials[place] = replace(trial, curve=curves[trial.arm])
    measured(results, {"one-layer": [1.0], "three-layers": [seconds]})
    found = only(constrained.shallow_keeps_up(results, "one-layer", "three-layers"))
    assert found.answer == answer


def test_equal_time_is_not_told_by_epochs_that_others_trained_beside() -> None:
    results = scored("depth-10", {"one-layer": [0.8] * 12, "three-layers": [0.99] * 12})
    found = only(constrained.shallow_keeps_up(results, "one-layer", "three-layers"))
    assert found.answer == "cannot tell" and "alone" in found.numbers


@pytest.mark.parametrize(
    ("rnn", "gru", "answer"),
    [(0.15, 0.001, "holds"), (0.001, 0.001, "does not hold"), (0.15, 0.15, "cannot tell")],
)
def test_an_arm_fails_alone_where_it_leaves_half_of_the_trivial_loss_and_another_does_not(
    rnn: float, gru: float, answer: str
) -> None:
    results = scored("adding-50", {"rnn": [rnn] * 6, "lstm": [0.15] * 6, "gru": [gru] * 6})
    assert only(failing.fails_alone(results, "rnn", ("lstm", "gru"))).answer == answer


@pytest.mark.parametrize(
    ("ratio", "spread", "answer"),
    [
        (0.8, 0.05, "holds"),
        (1.25, 0.05, "does not hold"),
        (1.0, 0.01, "does not hold"),
        (0.9, 0.5, "cannot tell"),
    ],
)
def test_an_epochs_time_is_compared_over_what_was_measured_alone(
    ratio: float, spread: float, answer: str
) -> None:
    draw = random.Random(0)
    lstm = [draw.uniform(0.99, 1.01) for _ in range(6)]
    gru = [each * ratio * draw.uniform(1 - spread, 1 + spread) for each in lstm]
    results = measured(controlled("vowels-speed", {}), {"lstm": lstm, "gru": gru})
    epoch, _ = speed.faster(results, "gru", "lstm")
    assert (epoch.what, epoch.answer) == ("time per epoch", answer)
    low, high = epoch.figures["interval"]
    assert low <= epoch.figures["ratio"] <= high and low <= ratio <= high


def target(lstm_seconds: float) -> Finding:
    """A GRU that takes two epochs of a second where the LSTM takes three; some never get there."""
    slow, quick, never = [0.2, 0.3, 0.9], [0.2, 0.9, 0.9], [0.2, 0.3, 0.4]
    lstm = [*[slow] * 8, *[never] * 4, never]
    gru = [*[quick] * 8, *[slow] * 4, never]
    curves = {"lstm": [curve(v) for v in lstm], "gru": [curve(v) for v in gru]}
    results = measured(
        controlled("vowels-speed", curves), {"lstm": [lstm_seconds] * 6, "gru": [1.0] * 6}
    )
    _, found = speed.faster(results, "gru", "lstm")
    return found


def test_who_needs_fewer_seconds_to_the_target_wins_and_who_never_gets_there_loses() -> None:
    found = target(1.0)
    assert found.answer == "holds"
    assert found.figures["pairs"] == 12, "nothing is told by a pair that never gets there"
    assert "0.82" in found.what, "nine tenths of the way from 0.1 to 0.9"


def test_epochs_to_a_target_count_by_what_they_take() -> None:
    """An LSTM whose epochs take half as long is there first in 8 of 12 pairs."""
    assert target(0.5).figures["probability"] == pytest.approx(4 / 12)


def test_times_of_different_paths_are_not_compared() -> None:
    results = controlled("vowels-speed", {"lstm": [curve([0.9])] * 12, "gru": [curve([0.9])] * 12})
    measured(results, {"lstm": [1.0] * 6, "gru": [0.5] * 6}, gru="reference/cpu/float32")
    (found,) = speed.faster(results, "gru", "lstm")
    assert found.answer == "cannot tell" and "paths" in found.numbers


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    draw = random.Random(0)
    held = 0
    for _ in range(2000):
        found = speed.median_interval(sorted(draw.expovariate(1.0) for _ in range(16)))
        assert found is not None
        held += found[0] <= 0.6931 <= found[1]
    assert held >= 0.95 * 2000
    assert speed.median_interval([1.0] * 5) is None
