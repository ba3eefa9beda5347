"""Control trials as a sample."""

from made_results import replicate_result, trial_result

from search.results.controls import control_values


def test_a_diverged_control_is_the_worst_and_not_missing() -> None:
    trials = [
        trial_result(0, 0.9, control=True),
        trial_result(1, 0.95),
        trial_result(2, 0.8, control=True, state="diverged"),
        trial_result(3, None, control=True, state="diverged"),
        trial_result(4, 0.5, control=True, state="failed"),
        trial_result(5, 0.5, control=True, state="running"),
        trial_result(6, 0.5, control=True, state="pruned"),
        replicate_result(0, 0, 0.9, control=True),
    ]
    assert control_values(trials, ["lstm"]) == {"lstm": [0.9, None, None]}


def test_values_of_controls_are_in_order_and_say_which_diverged() -> None:
    trials = [
        trial_result(8, 0.3, control=True),
        trial_result(2, None, control=True, state="diverged"),
        trial_result(0, 0.9, control=True),
        trial_result(4, 0.5, control=True, arm="gru"),
        trial_result(6, 0.1),
    ]
    assert control_values(trials, ["lstm", "gru", "rnn"]) == {
        "lstm": [0.9, None, 0.3],
        "gru": [0.5],
        "rnn": [],
    }
