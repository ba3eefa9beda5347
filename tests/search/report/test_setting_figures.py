"""What the page tells of settings and of time: parallel coordinates, slices, contours, timeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_results import job_text, made
from report_page import Page, data, figure, written

from search.report.setting_axes import setting_axes, setting_axis
from search.results.read import Results


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Page]:
    """The results of 120 trials an arm, and their report."""
    folder = tmp_path_factory.mktemp("job")
    results = made(folder, job_text(trials=120))
    return results, written(results, folder)


def by_name(axes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {axis["name"]: axis for axis in axes}


def test_axes_are_of_the_settings_that_differ_within_an_arm(job: tuple[Results, Page]) -> None:
    axes = by_name(figure(job[1], "parallel")["axes"])
    settings = {"depth", "hidden_size", "dropout", "learning_rate"}
    assert set(axes) == settings | {"parameters", "seconds", "value"}
    assert set(by_name(figure(job[1], "slices")["axes"])) == settings


def test_an_axis_is_laid_out_as_the_job_searched_it(job: tuple[Results, Page]) -> None:
    axes = by_name(figure(job[1], "parallel")["axes"])
    assert axes["learning_rate"]["kind"] == "log" and axes["dropout"]["kind"] == "linear"
    assert axes["hidden_size"]["options"] == [16, 32, 64]
    shown = data(job[1])["trials"]
    for axis in axes.values():
        column = [
            row[shown["head"].index(axis["name"])] for row in shown["rows"] if row[3] == "complete"
        ]
        if axis["kind"] == "options":
            assert set(column) == set(axis["options"])
        else:
            assert axis["low"] <= min(column[:50]) and max(column[:50]) <= axis["high"]


def test_numbers_beside_a_word_are_options(job: tuple[Results, Page]) -> None:
    found = setting_axis("dropout", [0.1, None, 0.5, True], job[0])
    assert found.options == (0.1, 0.5, "off", "yes")
    assert [found.place(each) for each in (0.1, True)] == [0.125, 0.875]


def test_a_place_is_between_the_ends_of_its_axis(job: tuple[Results, Page]) -> None:
    (rate,) = (axis for axis in setting_axes(job[0].search, job[0]) if axis.name == "learning_rate")
    assert [rate.place(rate.low), rate.place(rate.high)] == [0, 1]
    assert rate.place((rate.low * rate.high) ** 0.5) == pytest.approx(0.5)


def test_the_title_says_which_setting_the_best_trials_agree_on(job: tuple[Results, Page]) -> None:
    title = next(each for each in job[1].texts if each.startswith("Trials over their settings"))
    assert "the best tenth of each arm has learning_rate 0.00" in title


def test_contours_are_over_what_mattered_and_best_where_values_are(
    job: tuple[Results, Page],
) -> None:
    results, page = job
    drawn = figure(page, "contours")
    assert {panel["arm"] for panel in drawn["panels"]} <= set(results.arms)
    for panel in drawn["panels"]:
        rate, _ = panel["axes"]
        assert rate["name"] == "learning_rate"
        cells = {
            column: max(good)
            for column, line in enumerate(panel["area"])
            if (good := [cell for cell in line if cell is not None])
        }
        assert all(0 <= good <= 1 for good in cells.values())
        # Values fall with the distance of the rate from 0.004, which is right of the middle.
        assert max(cells, key=lambda column: cells[column]) > len(panel["area"]) / 2
        rows = data(page)["trials"]["rows"]
        assert all(rows[row][1] == panel["arm"] for row in panel["rows"])


def test_the_timeline_has_a_bar_for_each_trial_with_times(job: tuple[Results, Page]) -> None:
    results, page = job
    drawn = figure(page, "timeline")
    assert {bar[0] for bar in drawn["bars"]} == set(range(len(results.trials)))
    assert all(0 <= start < end <= drawn["length"] + 0.01 for _, start, end, _ in drawn["bars"])


def test_a_job_with_one_configuration_has_no_figures_of_settings(tmp_path: Path) -> None:
    results = made(tmp_path, trials=6, phase="search")
    config = results.trials[0].config
    same = replace(results, trials=[replace(trial, config=config) for trial in results.trials])
    page = written(same, tmp_path)
    drawn = {each["name"] for each in data(page)["figures"]}
    assert not drawn & {"parallel", "slices", "contours"} and "timeline" in drawn
    assert "Fewer than two complete trials have settings that differ." in page.text
