"""The figure of a verdict: what stands where on its two axes, on the terminal and on the page."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from made_results import STRINGS, job_text, made
from rich.console import Console

from search.results.evidence.judge import judge
from search.results.evidence.verdict import Verdict
from search.results.forest import MOST_ROWS, Forest, forest, of_verdict
from search.results.forest_text import drawn
from search.results.summarise import compare

BETTER = [0.90, 0.92, 0.91, 0.95, 0.93, 0.94]
WORSE = [0.85, 0.86, 0.91, 0.88, 0.87, 0.80]


def verdict(maximize: bool = True, **arms: list[float | None]) -> Verdict:
    scores = {arm: {str(i): v for i, v in enumerate(values)} for arm, values in arms.items()}
    return judge(scores, metric="accuracy", maximize=maximize, design="given")


def figure(maximize: bool = True, **arms: list[float | None]) -> Forest:
    return of_verdict(verdict(maximize, **arms), maximize=maximize)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_arm_that_wins_more_often_is_first_and_better_on_the_right(maximize: bool) -> None:
    (row,) = figure(maximize, low=WORSE, high=BETTER).rows
    assert row.pair.first == ("high" if maximize else "low")
    assert row.probability.at > 0.5
    assert row.difference is not None
    shown = figure(maximize, low=WORSE, high=BETTER)
    assert row.difference.low < row.difference.at < row.difference.high
    assert row.difference.at > shown.zero


def test_places_are_those_of_the_numbers_on_one_axis() -> None:
    shown = figure(low=WORSE, high=BETTER, middle=[0.9, 0.89, 0.9, 0.91, 0.9, 0.89])
    (tick, text), *_ = [each for each in shown.ticks if each[1].startswith("+")]
    unit = (tick - shown.zero) / float(text)  # of the axis, for a difference of 1
    for row in shown.rows:
        assert row.difference is not None and row.same is not None
        assert row.difference.at == pytest.approx(shown.zero + unit * (row.pair.difference or 0.0))
        assert row.same == pytest.approx((shown.zero - 0.01 * unit, shown.zero + 0.01 * unit))


def test_a_relative_margin_is_as_wide_as_the_values_make_it() -> None:
    (row,) = figure(maximize=False, low=[100.0] * 5, high=[110.0] * 5).rows
    assert row.pair.tie_within == pytest.approx(0.02 * 110)


def test_an_interval_that_nothing_bounds_runs_off_the_axis() -> None:
    (row,) = figure(low=[0.8, 0.81], high=[0.9, 0.92]).rows
    assert row.difference is not None
    assert (row.difference.low, row.difference.high) == (0, 1)
    assert row.difference.low_cut and row.difference.high_cut and row.bounds == "–"


def test_pairs_of_which_each_has_a_diverged_replicate_have_no_difference() -> None:
    (row,) = figure(low=[None, None], high=[0.9, 0.91]).rows
    assert row.difference is None and row.same is None and row.mean == "–"


def test_of_many_arms_the_pairs_of_the_best_are_shown_and_the_others_counted() -> None:
    arms: dict[str, list[float | None]] = {
        f"arm{number}": [0.5 + 0.05 * number + 0.001 * draw for draw in range(40)]
        for number in range(6)
    }
    found = verdict(**arms)
    shown = of_verdict(found, maximize=True)
    assert found.winner == "arm5"
    assert [row.pair.first for row in shown.rows[:5]] == ["arm5"] * 5
    assert (len(shown.rows), shown.left_out) == (MOST_ROWS, 15 - MOST_ROWS)


def test_without_a_verdict_there_is_no_figure(tmp_path: Path) -> None:
    found = compare(made(tmp_path, job_text(seeds=0))).verdict
    assert of_verdict(found, maximize=True).rows == ()


def test_the_terminal_draws_it_within_80_columns(tmp_path: Path) -> None:
    shown = figure(lstm=WORSE, gru=BETTER)
    text = StringIO()
    Console(width=80, file=text).print(drawn(shown))
    (line,) = (each for each in text.getvalue().splitlines() if each.startswith("gru − lstm"))
    assert line.count("●") == 2 and shown.rows[0].wins in line and shown.rows[0].mean in line


def test_where_less_is_better_the_axis_runs_to_the_left(tmp_path: Path) -> None:
    results = made(tmp_path, job_text(task="{name: symbolic, complexity: 30}"), STRINGS)
    shown = of_verdict(compare(results).verdict, maximize=results.info.metric.maximize)
    assert [text for _, text in shown.ticks if text.startswith(("+", "−"))]
    for place, text in shown.ticks:
        assert (place < shown.zero) is text.startswith("+")


def test_titles_stand_in_place_of_the_arms() -> None:
    found = verdict(low=WORSE, high=BETTER)
    shown = forest(
        [found.pairs[0], replace(found.pairs[0], pairs=0), found.pairs[0]],
        metric="accuracy",
        maximize=True,
        margin=found.margin,
        confidence=0.95,
        titles=["vowels", "nothing yet", "adding"],
    )
    assert [row.title for row in shown.rows] == ["vowels", "adding"]
