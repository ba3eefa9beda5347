"""How many trials a packed worker takes: the rule alone."""

import pytest
from small_trainings import small_config

from spaces.config import TrialConfig
from trainables.worker.capacity import (
    Capacity,
    Measurement,
    members_that_fit,
    next_members,
    room,
)

MIB = 2**20


def measured(*rows: tuple[int, float, float]) -> list[Measurement]:
    """Return measurements of members, seconds and MiB."""
    return [Measurement(members, seconds, int(mib * MIB)) for members, seconds, mib in rows]


#: What was measured, the memory in MiB -> what to measure next, and how many fit.
RULE = [
    ("nothing is known", [], 100, 1, None),
    ("one member leaves room for two", [(1, 1.0, 10)], 100, 2, None),
    ("one member is too large for two", [(1, 1.0, 60)], 100, None, 1),
    ("one member is too large for the card", [(1, 1.0, 160)], 100, None, 1),
    ("two take as long as one", [(1, 1.0, 10), (2, 1.0, 20)], 100, 4, None),
    ("two take twice as long as one", [(1, 1.0, 10), (2, 2.0, 20)], 100, None, 1),
    ("two gain less than a tenth", [(1, 1.0, 10), (2, 1.9, 20)], 100, None, 1),
    ("four gain no more", [(1, 1, 1), (2, 1.1, 2), (4, 2.2, 4)], 100, None, 2),
    ("memory ends before the gain", [(1, 1, 10), (2, 1, 20), (4, 1, 40)], 70, None, 7),
    ("memory grows in steps", [(1, 1, 10), (2, 1, 30), (4, 1, 70)], 100, None, 5),
    ("the last one did not fit", [(1, 1, 10), (2, 1, 20), (4, 1, 40)], 39, None, 3),
    ("the largest cohort gains still", [(2**n, 1, 2**n) for n in range(8)], 1e6, None, 128),
]


@pytest.mark.parametrize(
    ("rows", "mib", "following", "fit"), [row[1:] for row in RULE], ids=[row[0] for row in RULE]
)
def test_members_are_added_as_long_as_they_fit_and_gain(
    rows: list[tuple[int, float, float]], mib: float, following: int | None, fit: int | None
) -> None:
    found = measured(*rows)
    assert next_members(found, mib * MIB) == following
    if following is None:
        assert members_that_fit(found, mib * MIB) == fit


#: (limit, number in hand) of each shape -> room
ROOM = [
    ([], 1),
    ([(1, 1)], 0),
    ([(16, 1)], 15),
    ([(16, 16)], 0),
    ([(16, 8), (4, 1)], 4),
    ([(16, 8), (4, 2)], 0),
    ([(3, 1), (3, 1), (3, 1)], 0),
    ([(4, 9)], 0),
]


@pytest.mark.parametrize(("shapes", "left"), ROOM)
def test_a_trial_takes_up_one_by_the_limit_of_its_shape(
    shapes: list[tuple[int, int]], left: int
) -> None:
    assert room(shapes) == left


def test_a_limit_is_found_once_for_a_shape_and_falls_where_memory_runs_out() -> None:
    asked = []

    def find(config: TrialConfig) -> int:
        asked.append(config.hidden_size)
        return 8

    one = small_config()
    twin = one.model_copy(update={"learning_rate": 0.5})
    other = one.model_copy(update={"hidden_size": 7})
    capacity = Capacity(find)
    assert capacity.room([one]) == 0, "what was not measured may take up everything"
    assert [capacity.limit(config) for config in (one, twin, other)] == [8, 8, 8]
    assert asked == [6, 7]
    capacity.lower(twin, 3)
    assert [capacity.limit(config) for config in (one, other)] == [3, 8]
    assert capacity.room([one, twin]) == 1
    capacity.lower(one, 0)
    assert capacity.limit(one) == 1
