"""A sampler sees the best, the latest and the running trials, and estimates of pruned ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.window import BEST, LATEST, RUNNING, TrialWindow, with_estimates
from spaces.kinds import Metric

METRIC = Metric("accuracy", "maximize")
LOSS = Metric("loss", "minimize")

#: Better values are greater ones, or lesser ones of the other sign.
both_directions = pytest.mark.parametrize(
    ("metric", "sign"), [(METRIC, 1), (LOSS, -1)], ids=["maximize", "minimize"]
)


def test_a_sampler_is_shown_no_more_trials_than_a_window_holds() -> None:
    window = TrialWindow(METRIC, fetch=lambda number: trial_of(number, TrialState.RUNNING))
    for number in range(2000):
        if number % 5 == 4:
            window.started(number)
        else:
            window.ended(trial_of(number, TrialState.COMPLETE, (number * 7919) % 1000))
    shown = window.window()
    assert len(shown) <= BEST + LATEST + RUNNING
    assert [trial.number for trial in shown] == sorted(trial.number for trial in shown)
    values = sorted((t.value for t in window.trials if t.value is not None), reverse=True)
    assert values[:BEST] == sorted((t.value or 0 for t in shown), reverse=True)[:BEST]
    assert {n for n in range(1900, 2000) if n % 5 != 4} <= {trial.number for trial in shown}


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_what_is_shown_does_not_depend_on_the_order_of_the_ends(
    order: list[int], pruned: set[int]
) -> None:
    shown = []
    for numbers in (range(12), order):
        window = TrialWindow(METRIC, fetch=lambda number: no_trial(), best=3, latest=4)
        for number in numbers:
            state = TrialState.PRUNED if number in pruned else TrialState.COMPLETE
            window.ended(trial_of(number, state, number // 3))
        shown.append([trial.number for trial in window.window()])
    assert shown[0] == shown[1]


def no_trial() -> FrozenTrial:
    raise AssertionError("no trial is running")


def trial_of(number: int, state: TrialState, value: float = 0.0) -> FrozenTrial:
    complete = state == TrialState.COMPLETE
    trial = create_trial(
        state=state, value=value if complete else None, intermediate_values={1: value}
    )
    trial.number = number
    return trial


def pruned_at(epoch: int, value: float) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, intermediate_values={epoch: value})


def over_limit(excess: float) -> FrozenTrial:
    return create_trial(state=TrialState.PRUNED, constraints={"latency_ms": excess})


@both_directions
def test_trials_rank_by_value_then_by_epochs_then_by_excess(metric: Metric, sign: int) -> None:
    window = TrialWindow(metric, fetch=lambda number: no_trial())
    best_first = [
        create_trial(value=sign * 0.9),
        create_trial(value=sign * 0.2),
        pruned_at(9, sign * 0.3),
        pruned_at(9, sign * 0.1),
        pruned_at(3, sign * 0.8),
        create_trial(state=TrialState.PRUNED),  # as a diverged one is shown
        over_limit(0.5),
        over_limit(2.0),
    ]
    worst_first = best_first[::-1]
    assert sorted(worst_first, key=window.rank) == best_first


@both_directions
def test_an_estimate_is_the_last_value_but_no_better_than_the_median(
    metric: Metric, sign: int
) -> None:
    complete = [create_trial(value=sign * value) for value in (0.1, 0.5, 0.9)]
    unknown = create_trial(state=TrialState.PRUNED)
    pruned = [pruned_at(3, sign * 0.3), pruned_at(3, sign * 0.8), over_limit(1.0), unknown]
    shown = with_estimates([*complete, *pruned], metric)
    assert shown[:3] == complete
    assert [trial.value for trial in shown[3:6]] == [sign * 0.3, sign * 0.5, sign * 0.5]
    assert all(trial.state == TrialState.COMPLETE for trial in shown[:6])
    assert shown[6] is unknown


@both_directions
def test_the_estimate_of_a_diverged_trial_is_the_worst_value_of_the_others(
    metric: Metric, sign: int
) -> None:
    diverged = create_trial(state=TrialState.PRUNED)
    diverged.number = 7
    for others in ([0.1, 0.5], [0.5, 0.9]):
        trials = [*(create_trial(value=sign * value) for value in others), pruned_at(1, sign * 0.2)]
        shown = with_estimates([*trials, diverged], metric, {7})
        assert shown[-1].state == TrialState.COMPLETE
        assert shown[-1].value == sign * min([*others, 0.2])


def test_with_several_objectives_a_diverged_trial_has_the_worst_of_each() -> None:
    diverged = create_trial(state=TrialState.PRUNED)
    diverged.number = 7
    front = [create_trial(values=values) for values in ([-0.9, 500.0], [-0.5, 100.0])]
    assert with_estimates([*front, diverged], METRIC, {7})[-1].values == [-0.5, 500.0]


def test_without_a_complete_trial_nothing_is_estimated() -> None:
    pruned = [pruned_at(3, 0.3)]
    assert with_estimates(pruned, METRIC) == pruned
