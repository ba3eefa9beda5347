"""When trials were trained, as far as their epochs' times tell it."""

from dataclasses import replace

import pytest
from made_results import trial_result

from search.journal.trial import TrialResult
from search.results.timeline import timeline
from trainables.training.curve import Epoch

NOON = 1_760_000_000


def trained(number: int, *ends: float, seconds: float = 10.0) -> TrialResult:
    """A trial whose epochs ended so many seconds after noon, and took 10 seconds each."""
    curve = [
        Epoch(epoch, 0.1, 0.9, seconds, round(1000 * (NOON + end)))
        for epoch, end in enumerate(ends, 1)
    ]
    return replace(trial_result(number), curve=curve)


def test_trials_side_by_side_stand_in_lanes_of_their_own() -> None:
    found = timeline([trained(0, 10, 20), trained(1, 15, 25), trained(2, 32)])
    lanes = {stretch.row: stretch.lane for stretch in found.stretches}
    assert lanes == {0: 0, 1: 1, 2: 0}
    assert (found.lanes, found.length) == (2, 32)
    assert found.at_once == pytest.approx(50 / 32)


def test_a_pause_of_one_trial_is_empty_and_one_of_the_whole_job_is_cut_out() -> None:
    away = timeline([trained(0, 10, 20, 120), trained(1, *range(10, 130, 10))])
    assert [(s.start, s.end) for s in away.stretches if s.row == 0] == [(0, 20), (110, 120)]
    assert away.cuts == ()
    resumed = timeline([trained(0, 10, 20, 3620)])
    assert [(s.start, s.end) for s in resumed.stretches] == [(0, 20), (20, 30)]
    assert resumed.cuts == ((20, 3590),) and resumed.length == 30


def test_trials_of_a_version_that_noted_no_times_are_left_out() -> None:
    without = replace(trained(0, 10), curve=[Epoch(1, 0.1, 0.9, 10.0)])
    assert [stretch.row for stretch in timeline([without, trained(1, 10)]).stretches] == [1]
    assert timeline([without]).lanes == 0
