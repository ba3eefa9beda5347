"""A rule answers what the scores say, in either direction, and says so where they do not tell."""

import random
from collections.abc import Callable, Iterator

import pytest
from claimed_jobs import controlled, curve, scored

from search.results.claims import duels, failing, speed
from search.results.claims.finding import Finding
from search.results.read import Results

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


def depth(seconds: float, values: list[float]) -> Results:
    """One layer trains four epochs of a second; three layers reach these values."""
    results = scored("depth-10", {"one-layer": [0.8] * 12, "three-layers": [0.99] * 12})
    for trial in results.trials:
        deep = trial.arm == "three-layers"
        points = curve(values, seconds) if deep else curve([0.5, 0.6, 0.7, 0.8], 1.0)
        object.__setattr__(trial, "curve", points)
        object.__setattr__(trial, "train_seconds", sum(point.seconds for point in points))
    return results


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [(1.0, "does not hold"), (1.5, "holds"), (5.0, "holds")],
)
def test_layers_help_only_by_what_they_reach_in_the_time_of_the_shallow_arm(
    seconds: float, answer: str
) -> None:
    """In four seconds three layers have 0.95, 0.7 or nothing yet; in the end always 0.95."""
    found = only(
        duels.shallow_keeps_up(depth(seconds, [0.6, 0.7, 0.9, 0.95]), "one-layer", "three-layers")
    )
    assert found.answer == answer


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
def test_an_epochs_time_is_compared_over_pairs_of_controls(
    ratio: float, spread: float, answer: str
) -> None:
    """Sizes differ tenfold between controls, and one epoch of each is disturbed."""
    draw, own = random.Random(0), []
    for _ in range(16):
        size, noise = draw.uniform(0.1, 1), draw.uniform(1 - spread, 1 + spread)
        lstm, gru = curve([0.9] * 5, size), curve([0.9] * 5, size * ratio * noise)
        own.append(([*lstm[:4], *curve([0.9], 10 * size)], gru))
    results = controlled("vowels", {"lstm": [a for a, _ in own], "gru": [b for _, b in own]})
    epoch, _ = speed.faster(results, "gru", "lstm")
    assert (epoch.what, epoch.answer) == ("time per epoch", answer)
    low, high = epoch.figures["interval"]
    assert low <= epoch.figures["ratio"] <= high and low <= ratio <= high


def test_who_needs_fewer_seconds_to_the_target_wins_and_who_never_gets_there_loses() -> None:
    slow, quick, never = [0.2, 0.3, 0.9], [0.2, 0.9, 0.9], [0.2, 0.3, 0.4]
    lstm = [*[slow] * 8, *[never] * 4, never]
    gru = [*[quick] * 8, *[slow] * 4, never]
    results = controlled(
        "vowels",
        {"lstm": [curve(v, 1.0) for v in lstm], "gru": [curve(v, 1.0) for v in gru]},
    )
    _, target = speed.faster(results, "gru", "lstm")
    assert target.answer == "holds"
    assert target.figures["pairs"] == 12, "nothing is told by a pair that never gets there"
    assert "0.82" in target.what, "nine tenths of the way from 0.1 to 0.9"


def test_times_of_different_paths_are_not_compared() -> None:
    own = [curve([0.9] * 3, 1.0)] * 12
    results = controlled("vowels", {"lstm": own, "gru": own}, gru="torch-kernel/cpu/float32")
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
