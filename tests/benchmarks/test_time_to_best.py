"""The arithmetic of the time-to-best benchmark."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from time_to_best import against, best, clocked, interval, row, stored_rows, summary, time_to

BUDGET = 40.0


def search(*epochs: tuple[float, float]) -> dict[str, Any]:
    """Return a search of epochs of a second each: (when one ended on the wall, its value)."""
    return {"trials": 1, "epochs": [(1000.0 + ended, 1.0, value) for ended, value in epochs]}


def test_time_runs_from_the_first_epochs_beginning_in_slot_seconds_up_to_the_budget() -> None:
    epochs = [(12.0, 1.0, 0.5), (11.5, 1.5, 0.9), (31.0, 0.1, 0.1)]
    assert clocked(epochs, 2, BUDGET) == [(3.0, 0.9), (4.0, 0.5)]


def test_a_value_as_good_as_the_target_meets_it() -> None:
    curve = [(1.0, 0.9), (5.0, 0.5), (6.0, 0.4)]
    assert best(curve) == 0.4
    assert time_to(0.5, curve, BUDGET) == (5.0, True)


def test_a_search_that_never_meets_the_target_is_counted_at_its_budget() -> None:
    assert time_to(0.3, [(1.0, 0.9)], BUDGET) == (BUDGET, False)
    assert time_to(0.3, [], BUDGET) == (BUDGET, False)


def test_the_target_is_what_random_search_has_within_the_budget() -> None:
    found = {
        "ours": search((1, 0.9), (4, 0.3)),
        "random": search((1, 0.8), (9, 0.4), (61, 0.2)),  # the last one comes too late
        "stock": search((1, 0.7)),
    }
    made = row(7, found, BUDGET)
    assert (made["seed"], made["target"]) == (7, 0.4)
    assert [made[way]["time"] for way in ("ours", "random", "stock")] == [4.0, 9.0, BUDGET]
    assert [made[way]["met"] for way in ("ours", "random", "stock")] == [True, True, False]
    assert made["random"]["epochs"] == 2
    assert made["budget"]["time"] == BUDGET


def rows(*times: tuple[float | None, float]) -> list[dict[str, Any]]:
    """Return rows of (our time, or None for a miss, and the time of each of the others)."""
    figures = {"best": 0.1, "epochs": 10, "trials": 3}
    return [
        {
            "seed": seed,
            "ours": {**figures, "time": BUDGET if ours is None else ours, "met": ours is not None},
            "random": {**figures, "time": other, "met": True},
            "stock": {**figures, "time": other, "met": True},
            "budget": {"time": BUDGET, "met": True},
        }
        for seed, (ours, other) in enumerate(times)
    ]


@pytest.mark.parametrize(
    ("times", "claim"),
    [
        ([(4, 20)] * 20, "holds"),
        ([(10, 20)] * 20, "holds"),  # at most half
        ([(12, 20)] * 20, "is refuted"),
        ([(4, 20)] * 11 + [(16, 20)] * 9, "is undecided"),
        ([(4, 20)] * 9 + [(None, 20)] * 11, "is undecided"),
        ([(None, 90)] * 20, "is refuted"),  # whatever a miss is counted as
    ],
)
def test_a_claim_holds_where_the_whole_interval_does(times: Any, claim: str) -> None:
    assert against("random", rows(*times))["claim"] == claim


def test_our_misses_flatter_the_first_median_and_not_the_second() -> None:
    found = against("stock", rows((10, 20), (None, 80), (None, 80)))
    assert found["median"] == 0.5
    assert found["median_misses_infinite"] == math.inf
    assert found["misses"] == {"ours": 2, "stock": 0}


def test_the_interval_is_the_same_each_time_and_holds_the_median() -> None:
    ratios = [0.1 * number for number in range(1, 21)]
    low, high = interval(ratios)
    assert interval(ratios) == (low, high)
    assert 0.1 < low < 1.05 < high < 2.0
    assert interval([0.3] * 5) == (0.3, 0.3)
    assert interval([0.3, math.inf, math.inf])[1] == math.inf


def test_figures_over_all_seeds() -> None:
    found = summary(rows((4, 20), (6, 20), (8, 20)))
    assert found["seeds"] == 3
    assert found["medians"]["ours"]["time"] == 6
    assert found["ours/random"]["median"] == pytest.approx(0.3)
    assert found["ours/budget"]["median"] == pytest.approx(6 / BUDGET)


def test_parts_are_joined_only_where_nothing_else_differs(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    assert stored_rows(out, {"seconds": 40.0}) == []
    out.write_text(json.dumps({"seconds": 40.0, "rows": rows((4, 20))}))
    assert len(stored_rows(out, {"seconds": 40.0})) == 1
    with pytest.raises(SystemExit, match="other seconds"):
        stored_rows(out, {"seconds": 20.0})
