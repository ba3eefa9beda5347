"""Claims about whole verdicts: their kinds, their sentence, their JSON, what changes none."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.results.evidence.baselines import nothing_learned
from search.results.evidence.judge import judge
from search.results.evidence.pairs import Margin, Paired, Scores
from search.results.evidence.verdict import Verdict
from search.results.format import bounds

values = st.lists(st.integers(0, 100).map(lambda x: x / 100) | st.none(), min_size=3, max_size=15)


def scored(found: list[float | None] | np.ndarray) -> Scores:
    return {str(i): None if x is None else float(x) for i, x in enumerate(found)}


def judged(maximize: bool = True, **arms: list[float | None]) -> Verdict:
    scores = {name: scored(found) for name, found in arms.items()}
    return judge(scores, metric="accuracy", maximize=maximize, design="seeds")


def test_an_arm_that_wins_every_pair_is_the_winner_and_the_sentence_says_by_how_much() -> None:
    verdict = judged(rnn=[0.80 + i / 1000 for i in range(12)], gru=[0.9] * 12)
    assert (verdict.kind, verdict.best, verdict.winner) == ("decided", ("gru",), "gru")
    [pair] = verdict.pairs
    assert (pair.first, pair.probability, pair.winner, pair.loser) == ("rnn", 0.0, "gru", "rnn")
    assert pair.difference == pytest.approx(-0.0945)
    for part in (
        "gru beats rnn by more than 0.01 in accuracy in 100 % of cases",
        "12 pairs",
        "mean difference +0.0945",
        "on this one split, not of cells",
    ):
        assert part in verdict.sentence


def test_arms_within_the_margin_are_equivalent() -> None:
    verdict = judged(a=[0.9] * 12, b=[0.905] * 12)
    assert (verdict.kind, verdict.best, verdict.winner) == ("decided", ("a", "b"), None)
    assert "a and b are equivalent" in verdict.sentence
    assert verdict.pairs[0].ties == 12


def test_few_pairs_decide_nothing_and_tell_how_many_are_needed() -> None:
    verdict = judged(a=[0.9, 0.9, 0.8], b=[0.8, 0.8, 0.9])
    assert verdict.kind == "undecided" and verdict.winner is None
    assert "cannot be told yet which of a and b is best" in verdict.sentence
    assert "more pairs are needed (" in verdict.sentence
    assert verdict.pairs[0].still_needed is not None


def test_a_clear_loser_leaves_the_best_set_before_the_rest_is_decided() -> None:
    good = [0.9, 0.95, 0.9, 0.95] * 4
    verdict = judged(a=good, b=[0.95, 0.9] * 8, c=[0.5] * 16)
    assert verdict.best == ("a", "b") and verdict.kind == "undecided"


def test_a_diverged_replicate_loses_and_two_tie() -> None:
    paired = Paired.of(scored([None, None, 0.1]), scored([0.0, None, None]))
    for maximize in (True, False):
        outcomes = paired.outcomes(Margin(0.01), maximize=maximize)
        assert list(outcomes) == [0.0, 0.5, 1.0]
    assert len(paired.differences) == 0


def test_a_difference_of_exactly_the_margin_is_a_tie() -> None:
    paired = Paired.of(scored([0.98, 0.58, 0.99]), scored([0.97, 0.57, 0.97]))
    assert list(paired.outcomes(Margin(0.01), maximize=True)) == [0.5, 0.5, 1.0]


def test_only_replicates_that_both_arms_have_are_pairs() -> None:
    scores = {"a": {"1": 0.9, "2": 0.9}, "b": {"2": 0.8, "3": 0.8}}
    verdict = judge(scores, metric="accuracy", maximize=True, design="given")
    assert verdict.pairs[0].pairs == 1


@pytest.mark.parametrize("arms", [{}, {"a": [0.9] * 5}, {"a": [], "b": [0.9]}])
def test_where_nothing_can_be_paired_there_is_no_verdict(arms: dict[str, list[float]]) -> None:
    verdict = judge(
        {name: scored(found) for name, found in arms.items()},
        metric="accuracy",
        maximize=True,
        design="seeds",
        remedy="set confirm.seeds",
    )
    assert (verdict.kind, verdict.best) == ("none", ())
    assert verdict.sentence == "No verdict: set confirm.seeds."


def with_baseline(value: float, ceiling: float | None = None, **arms: list[float | None]) -> str:
    scores = {name: scored(found) for name, found in arms.items()}
    return judge(
        scores,
        metric="accuracy",
        maximize=True,
        design="seeds",
        baselines={"majority class": value, "prior": value - 0.2},
        ceiling=ceiling,
    ).kind


def test_no_arm_above_the_best_baseline_is_nothing_learned() -> None:
    low, high = [0.30, 0.31, 0.29, 0.30], [0.9, 0.91, 0.9, 0.92]
    assert with_baseline(0.3, a=low, b=low) == "nothing-learned"
    assert with_baseline(0.295, a=low, b=low) == "nothing-learned"  # within the margin
    assert with_baseline(0.3, a=low, b=high) != "nothing-learned"
    assert with_baseline(0.3, a=high[:2], b=low[:2]) != "nothing-learned"
    assert with_baseline(0.3, a=[None, None, None, 0.9], b=low) == "nothing-learned"


def test_the_luck_of_one_test_part_is_not_taken_for_learning() -> None:
    """Two equal classes, nothing to learn, 128 test sequences: what a replicate gets is luck."""
    rng = np.random.default_rng(0)

    def learned(test_sequences: int | None) -> float:
        told = []
        for _ in range(400):
            luck = rng.normal(0.5, np.sqrt(0.25 / 128), 3)[:, None]  # of the part, for each arm
            arms = [scored(found) for found in luck + rng.normal(0, 0.01, (3, 10))]
            margin, of_part = Margin(0.01), {"test_sequences": test_sequences}
            told.append(
                nothing_learned(arms, {"a": 0.5}, margin, maximize=True, alpha=0.05, **of_part)
            )
        return 1 - sum(told) / len(told)

    assert learned(128) <= 0.05
    assert learned(None) >= 0.3, "or the test cannot fail"


def test_all_arms_at_the_ceiling_are_too_easy_to_tell() -> None:
    top, below = [0.995, 1.0, 0.999], [0.98, 0.97, 0.98]
    assert with_baseline(0.3, ceiling=1.0, a=top, b=top) == "too-easy"
    assert with_baseline(0.3, ceiling=1.0, a=top, b=below) != "too-easy"
    assert with_baseline(0.3, a=top, b=top) != "too-easy"


def test_the_json_has_the_agreed_form_and_holds_no_nan() -> None:
    plain = judged(a=[0.9, None, 0.8], b=[0.8, 0.8, None]).as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {
        *("kind", "sentence", "design", "margin", "margin_relative", "confidence", "best"),
        *("pairs", "baselines", "variance"),
    }
    assert set(plain["variance"]) == {"split", "arm_split", "configuration", "seed"}
    [pair] = plain["pairs"]
    assert set(pair) == {
        *("first", "second", "probability", "interval", "difference", "difference_interval"),
        *("decision", "winner", "pairs", "still_needed"),
    }
    assert set(pair["still_needed"]) == {"estimate", "low", "high"}


@given(st.lists(values, min_size=2, max_size=3))
@settings(max_examples=20, deadline=None)
def test_the_order_of_arms_changes_nothing_but_signs(drawn: list[list[float | None]]) -> None:
    arms = {f"arm{i}": scored(found) for i, found in enumerate(drawn)}
    there = judge(arms, metric="accuracy", maximize=True, design="splits")
    back = judge(dict(reversed(arms.items())), metric="accuracy", maximize=True, design="splits")
    assert (there.kind, set(there.best)) == (back.kind, set(back.best))
    turned = {frozenset((p.first, p.second)): p for p in back.pairs}
    for pair in there.pairs:
        other = turned[frozenset((pair.first, pair.second))].seen_from(pair.first)
        assert other.decision == pair.decision and other.winner == pair.winner
        assert other.probability == pytest.approx(pair.probability)
        assert other.interval == pytest.approx(pair.interval)
        assert other.still_needed == pair.still_needed


@given(st.lists(values, min_size=2, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_replicates_changes_nothing(
    drawn: list[list[float | None]], order: random.Random
) -> None:
    arms = {f"arm{i}": scored(found) for i, found in enumerate(drawn)}
    mixed = {name: dict(order.sample(list(own.items()), len(own))) for name, own in arms.items()}
    there, back = (
        judge(a, metric="accuracy", maximize=True, design="seeds") for a in (arms, mixed)
    )
    for one, other in zip(there.pairs, back.pairs, strict=True):
        assert (one.decision, one.interval, one.pairs) == (
            other.decision,
            other.interval,
            other.pairs,
        )


@given(values, values, st.sampled_from([(60.0, 300.0), (0.5, -7.0), (-2.0, 1.0)]))
@settings(max_examples=20, deadline=None)
def test_an_affine_change_of_the_values_changes_no_verdict(
    a: list[float | None], b: list[float | None], change: tuple[float, float]
) -> None:
    unit, zero = change
    margin = Margin(0.015)
    plain = judge(
        {"a": scored(a), "b": scored(b)}, metric="m", maximize=True, design="seeds", margin=margin
    )
    moved = {
        name: scored([None if x is None else unit * x + zero for x in found])
        for name, found in (("a", a), ("b", b))
    }
    other = judge(
        moved,
        metric="m",
        maximize=unit > 0,
        design="seeds",
        margin=Margin(0.015 * abs(unit)),
    )
    assert (other.kind, other.best) == (plain.kind, plain.best)
    assert other.pairs[0].interval == plain.pairs[0].interval


@given(values, values)
@settings(max_examples=20, deadline=None)
def test_losses_in_another_unit_get_the_same_verdict_by_a_relative_margin(
    a: list[float | None], b: list[float | None]
) -> None:
    found = [
        judge(
            {
                name: scored([None if x is None else unit * x for x in drawn])
                for name, drawn in (("a", a), ("b", b))
            },
            metric="mse",
            maximize=False,
            design="seeds",
        )
        for unit in (1.0, 3600.0)
    ]
    assert found[0].margin == Margin(0.02, relative=True)
    assert (found[0].kind, found[0].best) == (found[1].kind, found[1].best)
    assert found[0].pairs[0].interval == found[1].pairs[0].interval


def test_the_nadeau_bengio_interval_stands_beside_where_the_parts_sizes_are_known() -> None:
    scores = {"a": scored(np.linspace(0.8, 0.9, 9)), "b": scored(np.linspace(0.9, 0.8, 9))}
    verdict = judge(scores, metric="accuracy", maximize=True, design="splits", test_to_train=0.25)
    assert verdict.pairs[0].sensitivity_interval is not None
    assert "sensitivity_interval" in verdict.as_dict()["pairs"][0]


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (-0.0373, -0.0005359, "−0.0373 to −0.0005"),
        (-0.00001234, 0.00004321, "−1.23e-05 to +4.32e-05"),
        (1.5, 2.5, "+1.5000 to +2.5000"),
        (0.1, 0.1, "+0.1000 to +0.1000"),
    ],
)
def test_an_interval_is_written_without_digits_far_below_its_width(
    low: float, high: float, written: str
) -> None:
    assert bounds(low, high) == written


def test_a_sentence_names_few_arms_and_counts_many() -> None:
    few, many = (
        judged(**{f"arm{number}": [0.9, 0.91, 0.89] for number in range(arms)}) for arms in (8, 12)
    )
    assert "which of arm0, arm1, arm2, arm3, arm4, arm5, arm6 and arm7 is best" in few.sentence
    assert "which of 12 arms is best" in many.sentence and len(many.best) == 12
