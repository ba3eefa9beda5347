"""One rule decides which configuration leads an arm, and every table shows that one."""

import random
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import job_text, made, replicate_result, trial_result, two_finalists
from rich.console import Console

from search.journal.trial import TrialResult
from search.results import tables
from search.results.ranking import candidates, ranked, search_rank
from search.results.summarise import compare
from search.results.terminal import comparison
from spaces.kinds import Metric
from trainables.training.curve import Epoch

ACCURACY, LOSS = Metric("accuracy", "maximize"), Metric("loss", "minimize")


def epochs(*points: tuple[float, float]) -> list[Epoch]:
    """Return a curve of these validation values and losses."""
    return [
        Epoch(number, 1.0, value, 0.1, metrics={"accuracy": value, "loss": loss})
        for number, (value, loss) in enumerate(points, 1)
    ]


def order(records: list[TrialResult], metric: Metric = ACCURACY) -> list[int]:
    return [candidate.trial.number for candidate in candidates(metric, records)]


@pytest.mark.parametrize(
    ("metric", "first", "second"),
    [
        (ACCURACY, {"value": 0.9, "parameters": 99}, {"value": 0.8, "parameters": 1}),
        (LOSS, {"value": 0.8, "parameters": 99}, {"value": 0.9, "parameters": 1}),
        (ACCURACY, {"value": 0.9, "parameters": 10}, {"value": 0.9, "parameters": 11}),
        (LOSS, {"value": 0.9, "parameters": 10}, {"value": 0.9, "parameters": 11}),
        (ACCURACY, {"curve": epochs((0.5, 0.1))}, {"curve": epochs((0.5, 0.2)), "parameters": 1}),
        (ACCURACY, {"curve": epochs((0.5, 0.2))}, {"curve": epochs((0.4, 0.1), (0.5, 0.3))}),
        (ACCURACY, {"curve": epochs((0.5, 0.3), (0.5, 0.1))}, {"curve": epochs((0.5, 0.2))}),
        (ACCURACY, {"curve": epochs((0.5, 0.9))}, {"parameters": 1}),
    ],
)
def test_the_search_ranks_by_value_then_by_validation_loss_then_by_fewer_parameters(
    metric: Metric, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """The last one is of a journal without validation losses."""
    assert search_rank(metric, trial_result(1, **first)) < search_rank(
        metric, trial_result(0, **second)
    )
    records = [trial_result(0, **second), trial_result(1, **first)]
    assert [record.number for record in ranked(metric, records)] == [1, 0]


@given(
    st.lists(st.tuples(st.sampled_from([0.8, 0.9, 1.0]), st.integers(1, 3)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_permuting_trial_numbers_changes_no_order(
    found: list[tuple[float, int]], draw: random.Random
) -> None:
    """A trial's seed tells here which one it is; no two trials have the same validation loss."""
    losses = draw.sample(range(1000), len(found))
    trials = [
        trial_result(0, value, parameters=size, seed=seed, curve=epochs((value, loss)))
        for seed, ((value, size), loss) in enumerate(zip(found, losses, strict=True))
    ]
    orders = []
    for _ in range(2):
        numbers = draw.sample(range(len(trials)), len(trials))
        renumbered = [replace(t, number=n) for t, n in zip(trials, numbers, strict=True)]
        orders.append([trial.seed for trial in ranked(ACCURACY, renumbered)])
    assert orders[0] == orders[1]


def test_of_equal_trials_the_earlier_one_comes_first() -> None:
    assert [record.number for record in ranked(LOSS, map(trial_result, (2, 0, 1)))] == [0, 1, 2]


@pytest.mark.parametrize("state", ["pruned", "diverged", "failed", "running"])
def test_only_complete_search_trials_are_ranked(state: Any) -> None:
    records = [
        trial_result(0, 0.9, state=state),
        trial_result(1, 0.1),
        replicate_result(1, 0, 0.9),
    ]
    assert [record.number for record in ranked(ACCURACY, records)] == [1]
    assert order(records) == [1]


SEARCHED = [trial_result(0, 0.9), trial_result(1, 0.8), trial_result(2, 0.7)]


def replicates(finalist: int, *values: float, **changes: Any) -> list[TrialResult]:
    return [replicate_result(finalist, r, value, **changes) for r, value in enumerate(values)]


def lost(finalist: int, replicate: int, state: Any) -> TrialResult:
    return replicate_result(finalist, replicate, None, state=state)


@pytest.mark.parametrize(
    ("confirmed", "expected"),
    [
        pytest.param([], [0, 1, 2], id="the search decides before there are finalists"),
        pytest.param(
            [*replicates(0, 0.5, 0.5), *replicates(1, 0.6, 0.6)],
            [1, 0, 2],
            id="the mean validation value of the replicates decides",
        ),
        pytest.param(
            [*replicates(1, 0.5), *replicates(2, 0.4)],
            [1, 2, 0],
            id="finalists come before better trials that were not confirmed",
        ),
        pytest.param(
            [*replicates(0, 0.5, 0.5), *replicates(1, 0.9), lost(1, 1, "diverged")],
            [0, 1, 2],
            id="a finalist that diverged comes after one that did not",
        ),
        pytest.param(
            [*replicates(0, 0.5, 0.9), *replicates(1, 0.6)],
            [1, 0, 2],
            id="only replicates that both completed are compared",
        ),
        pytest.param(
            [*replicates(0, 0.5), *replicates(1, 0.6), lost(2, 0, "diverged")],
            [1, 0, 2],
            id="a finalist that always diverges takes no part in that comparison",
        ),
        pytest.param(
            [replicate_result(0, 0, 0.2), replicate_result(1, 1, 0.9)],
            [0, 1, 2],
            id="the search decides where no replicate was completed by both",
        ),
        pytest.param(
            [lost(0, 0, "failed"), *replicates(1, 0.2)],
            [1, 0, 2],
            id="a finalist without a complete replicate comes after one with one",
        ),
        pytest.param(
            [*replicates(0, 0.5), *replicates(1, 0.5)],
            [0, 1, 2],
            id="the search decides between equal means",
        ),
        pytest.param(
            [
                *replicates(0, 0.5, 0.7, curve=epochs((0.5, 0.4))),
                *replicates(1, 0.6, 0.6, curve=epochs((0.5, 0.3))),
            ],
            [1, 0, 2],
            id="the mean validation loss decides between equal means",
        ),
    ],
)
def test_candidates_are_ordered_by_their_replicates(
    confirmed: list[TrialResult], expected: list[int]
) -> None:
    assert order([*SEARCHED, *confirmed]) == expected


def test_seeds_that_are_added_later_change_no_leader() -> None:
    """Neither what they find nor that they diverge."""
    first = [*SEARCHED, *replicates(0, *[0.5] * 10), *replicates(1, *[0.6] * 10)]
    assert order(first) == [1, 0, 2]
    later = [replicate_result(0, 10, 99.0), lost(1, 10, "diverged")]
    assert order([*first, *later]) == [1, 0, 2]


def test_a_minimised_metric_turns_the_order_of_the_means_round() -> None:
    records = [*SEARCHED, *replicates(0, 0.6, 0.6), *replicates(1, 0.5, 0.5)]
    assert order(records, LOSS) == [1, 0, 2]


def test_test_data_has_no_say_in_the_order() -> None:
    records = [*SEARCHED, *replicates(0, 0.5, 0.5), *replicates(1, 0.6, 0.6)]
    flipped = [replace(each, test=each.test and {"accuracy": 1.0 - each.value}) for each in records]
    assert order(flipped) == order(records) == [1, 0, 2]


@pytest.mark.parametrize("finalists", [1, 2, 3])
def test_the_first_candidate_of_each_arm_leads_it(tmp_path: Path, finalists: int) -> None:
    results = made(tmp_path, job_text(trials=20, finalists=finalists))
    order = [(each.trial.arm, each.trial.number) for each in results.candidates()]
    for arm in compare(results).arms:
        assert arm.leader is not None
        assert next(number for name, number in order if name == arm.name) == arm.leader.number
        assert results.candidates(arm.name)[0].trial.number == arm.leader.number


def test_every_table_shows_the_leader_where_another_trial_was_best_in_the_search(
    tmp_path: Path,
) -> None:
    """In the arm lstm trial 0 has the best search value, trial 1 the best validation mean."""
    figures = compare(two_finalists(tmp_path))
    label, *row = tables.arms(figures).on("terminal").rows[0]
    assert (label.name, *row[:3]) == ("lstm", 0.91, 300, 3.0)
    assert row[3].mean == pytest.approx(0.89)
    first, second, *_ = tables.finalists(figures).rows
    assert (first[0].name, first[1], second[1]) == ("lstm", "1", "0")
    assert figures.differences[0].difference.mean == pytest.approx(0.89 - 0.74)
    assert "lstm: validation accuracy 0.9100 in the search, by trial 1 with 300 parameters" in (
        "\n".join(figures.findings)
    )


def test_the_terminal_and_the_json_agree_on_the_leader(tmp_path: Path) -> None:
    figures = compare(two_finalists(tmp_path))
    lstm = figures.as_dict()["arms"][0]
    assert (lstm["best"]["number"], lstm["best"]["value"]) == (0, 0.95)
    assert (lstm["leader"]["number"], lstm["leader"]["value"]) == (1, 0.91)
    assert lstm["leader"]["parameters"] == 300 and lstm["leader"]["config"]["hidden_size"] == 17
    assert [each["number"] for each in lstm["finalists"] if each["leads"]] == [1]
    text = StringIO()
    Console(width=160, file=text).print(comparison(figures))
    lines = [line.split() for line in text.getvalue().splitlines()]
    for row in (
        ["lstm", "0.9100", "300", "3.00", "s", "0.8900", "±", "0.0283", "2"],
        ["gru", "0.8500", "1,000", "1.00", "s", "0.7400", "±", "0.0000", "2"],
    ):
        assert row in lines
