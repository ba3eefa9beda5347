"""Claims about several tasks: the mean of P, what is claimed over tasks and from how many on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.results.evidence.across import Across, Task
from search.results.evidence.betting import Counts, interval, log_capital
from search.results.evidence.judge import judge
from search.results.evidence.judge_across import across
from search.results.evidence.pairs import Margin, Scores
from search.results.evidence.stratified import mean_interval

ALPHA = 0.05
numbers = st.integers(0, 30)
counts_of_a_task = st.tuples(numbers, numbers, numbers).filter(any)


def counted(wins: float, ties: float, losses: float) -> Counts:
    return Counts(*map(np.float64, (wins, ties, losses)))


def task(
    name: str, arms: dict[str, list[float | None]], maximize: bool = True, **more: object
) -> Task:
    """A task whose arms have these results, pair by pair."""
    scores: dict[str, Scores] = {
        arm: {str(number): value for number, value in enumerate(own)} for arm, own in arms.items()
    }
    metric = "accuracy" if maximize else "mse"
    verdict = judge(scores, metric=metric, maximize=maximize, design="given", **more)  # type: ignore[arg-type]
    return Task(name, verdict, scores, maximize)


def drawn(
    number: int, gain: float, arms: str = "ab", seed: int = 0, spread: float = 0.002
) -> list[Task]:
    """Tasks on which each arm is better than the one before it by about `gain`."""
    rng = np.random.default_rng(seed)
    return [
        task(
            f"t{each}",
            {
                arm: (0.8 + place * gain + rng.normal(0, spread, 10)).tolist()
                for place, arm in enumerate(arms)
            },
        )
        for each in range(number)
    ]


# the mean of P over tasks


@given(counts_of_a_task)
@settings(max_examples=30, deadline=None)
def test_of_one_task_the_mean_of_p_has_its_own_interval(counts: tuple[int, int, int]) -> None:
    own = interval(counted(*counts), ALPHA)
    found = mean_interval([counted(*counts)], ALPHA)
    assert found == pytest.approx(tuple(map(float, own)), abs=0.0021)
    assert found[0] <= own[0] + 1e-9 and found[1] >= own[1] - 1e-9  # never narrower


@given(counts_of_a_task, counts_of_a_task)
@settings(max_examples=15, deadline=None)
def test_no_division_of_a_refuted_mean_between_two_tasks_is_left(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    grid = np.linspace(1e-9, 1, 801)
    first, second = (log_capital(counted(*counts), grid) for counts in (one, other))
    left = (first[:, None] + second) < np.log(2 / ALPHA)
    least = ((grid[:, None] + grid) / 2)[left].min()
    assert mean_interval([counted(*one), counted(*other)], ALPHA)[0] == pytest.approx(
        least, abs=0.004
    )


def test_the_interval_holds_the_mean_of_unequal_tasks_at_all_looks() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(60):
        shares = rng.uniform(0, 1, 4)
        wins = (rng.random((4, 40)) < shares[:, None]).cumsum(1)
        held += all(
            low <= shares.mean() <= high
            for n in (3, 8, 20, 40)
            for low, high in [
                mean_interval([counted(w[n - 1], 0, n - w[n - 1]) for w in wins], ALPHA)
            ]
        )
    assert held >= 57


def test_several_tasks_tell_more_than_one() -> None:
    one, six = (mean_interval([counted(9, 0, 1)] * number, ALPHA) for number in (1, 6))
    assert one[0] < 0.5 < six[0]


# what is claimed


def test_below_six_tasks_nothing_is_claimed_and_the_tasks_are_listed() -> None:
    found = across(drawn(5, 0.05))
    [pair] = found.pairs
    assert pair.decision is None and pair.shares is None and pair.winner is None
    assert pair.probability == 0 and pair.interval[1] < 0.5
    for part in (
        "On these 5 tasks, b beats a in 100 % of cases",
        "100 % on t4",
        "takes results of 6",
    ):
        assert part in found.sentence


def test_an_arm_ahead_on_six_tasks_is_better_on_further_ones() -> None:
    found = across(drawn(6, 0.05))
    [pair] = found.pairs
    assert (pair.decision, pair.winner, pair.p_value) == ("better", "b", 2 / 64)
    assert (
        "On further tasks like these 6, b is better than a by more than the margin"
        in found.sentence
    )


def test_arms_within_the_margin_on_eight_tasks_are_equivalent() -> None:
    [pair] = across(drawn(8, 0.0)).pairs
    assert (pair.decision, pair.winner) == ("equivalent", None)
    assert all(abs(each.gain) < 1 for each in pair.tasks)


def test_six_tasks_are_too_few_for_three_arms_and_the_sentence_says_how_many_are_needed() -> None:
    six, seven = across(drawn(6, 0.05, "abc")), across(drawn(7, 0.05, "abc"))
    assert {pair.decision for pair in six.pairs} == {"inconclusive"}
    assert "of 3 pairs of arms, that takes 7" in six.pairs[0].sentence
    assert [pair.winner for pair in seven.pairs] == ["b", "c", "c"]
    assert "b is better than a; c is better than a and b" in seven.sentence
    assert six.ranks is None and "fewer than 7 tasks" in six.no_ranks
    assert seven.ranks is not None and list(seven.ranks.means) == ["c", "b", "a"]
    assert seven.ranks.groups == ()


def test_an_arm_that_wins_on_half_of_the_tasks_is_not_called_better() -> None:
    tasks = [*drawn(4, 0.05), *(replace(t, name=f"other {t.name}") for t in drawn(4, -0.05))]
    [pair] = across(tasks).pairs
    assert pair.decision == "inconclusive"
    assert pair.interval[0] < 0.5 < pair.interval[1]


def test_the_order_of_the_arms_changes_no_answer() -> None:
    there = across(drawn(6, 0.05))
    back = across([replace(t, scores=dict(reversed(t.scores.items()))) for t in there.tasks])
    [one], [other] = there.pairs, back.pairs
    assert (one.first, other.first) == ("a", "b")
    assert (one.winner, one.probability) == (other.winner, 1 - other.probability)
    assert one.interval == pytest.approx((1 - other.interval[1], 1 - other.interval[0]))
    assert there.sentence == back.sentence


# tasks that differ


def test_gains_are_counted_in_margins_so_that_metrics_and_units_may_differ() -> None:
    values = {"a": [0.80, 0.82, 0.81], "b": [0.84, 0.84, 0.86]}
    plain = task("plain", values)
    percent = task(
        "percent", {a: [100 * v for v in own] for a, own in values.items()}, margin=Margin(1)
    )
    loss = task("loss", {"a": [1.02] * 3, "b": [1.0] * 3}, maximize=False)
    found = across([plain, percent, loss])
    gains = [each.gain for each in found.pairs[0].tasks]
    assert gains[0] == pytest.approx(gains[1]) == pytest.approx(-3.666667)
    assert gains[2] == pytest.approx(-0.02 / 1.02 / 0.02)  # 2 % of the larger value is one margin


def test_a_margin_of_zero_is_no_unit_beside_others() -> None:
    same = [replace(t, name=f"{t.name} again") for t in drawn(3, 0.05)]
    exact = task("exact", {"a": [0.8] * 9, "b": [0.9] * 9}, margin=Margin(0))
    mixed = across([*drawn(3, 0.05), *same, exact])
    assert mixed.pairs[0].decision is None and "that of exact is 0" in mixed.no_claim
    assert mixed.pairs[0].interval[1] < 0.5  # P needs no unit


def test_a_diverged_replicate_counts_as_the_worst_value_of_its_task() -> None:
    lost = task("lost", {"a": [0.9, None, 0.9], "b": [0.8, 0.7, 0.8]})
    [pair] = across([lost, *drawn(2, 0.0)]).pairs
    assert pair.tasks[0].gain == pytest.approx((10 + 0 + 10) / 3)
    assert pair.tasks[0].pair.probability == pytest.approx(2 / 3)


def test_tasks_that_say_nothing_on_arms_are_left_out_with_their_reason() -> None:
    nothing = task("noise", {"a": [0.1] * 9, "b": [0.1] * 9}, baselines={"majority": 0.5})
    easy = task("easy", {"a": [1.0] * 9, "b": [1.0] * 9}, ceiling=1.0)
    found = across([nothing, easy, *drawn(2, 0.05)], {"twice": "It is t0."})
    assert len(found.pairs[0].tasks) == 2
    assert list(found.left_out) == ["twice", "noise", "easy"]
    assert "Nothing was learned" in found.left_out["noise"]


def test_each_pair_of_arms_is_over_the_tasks_that_have_both() -> None:
    found = across(
        [*drawn(2, 0.05, "abc"), *(replace(t, name=f"{t.name} too") for t in drawn(1, 0.05))]
    )
    assert {(p.first, p.second): len(p.tasks) for p in found.pairs} == {
        ("a", "b"): 3,
        ("a", "c"): 2,
        ("b", "c"): 2,
    }
    assert found.ranks is None and "there are 2. Of two arms" in found.no_ranks


def test_what_tasks_say_is_json_without_infinities() -> None:
    for tasks in (drawn(2, 0.05), drawn(7, 0.05, "abc")):
        found: Across = across(tasks)
        plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert [each["task"] for each in plain["pairs"][0]["tasks"]] == [t.name for t in tasks]
        assert (plain["ranks"] is None) is (len(tasks) == 2)
        assert plain["sentence"] == found.sentence
