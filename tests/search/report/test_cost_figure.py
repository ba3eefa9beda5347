"""The page's figure of costs draws what the comparison says of them."""

from dataclasses import replace
from pathlib import Path

from made_results import made, two_finalists
from report_page import data, figure, written

from search.journal.trial import AloneTimes
from search.results.costs import COSTS
from search.results.summarise import compare


def test_each_cost_has_a_panel_with_every_finalist_at_its_place(tmp_path: Path) -> None:
    results = two_finalists(tmp_path)
    alone = AloneTimes(0.5, 4.0, "engine/cpu/float32", 1, 0.2, 3 * 2**20, "engine/cpu/float32")
    for place, trial in enumerate(results.trials):
        if trial.phase == "search":
            results.trials[place] = replace(trial, alone=alone)
    figures, page = compare(results), written(results, tmp_path)
    drawn = figure(page, "costs")
    assert len(figures.costs) == 5, "no replicate has a curve, and so no time to a target"
    for place, front in enumerate(figures.costs):
        axis = f"x{place + 1 if place else ''}"
        cost = next(cost for cost in COSTS if cost.name == front.cost)
        panel = {
            (trace["name"], trace["x"][0], trace["y"][0]): trace["marker"]["size"] > 10
            for trace in drawn["traces"]
            if trace.get("xaxis") == axis
        }
        wanted = {(p.arm, p.cost / cost.unit, p.value): p.on_front for p in front.points}
        assert panel == wanted
        title = drawn["layout"][axis.replace("x", "xaxis")]["title"]["text"]
        assert title == cost.axis


def test_without_finalists_there_is_no_figure_of_costs(tmp_path: Path) -> None:
    page = written(made(tmp_path, phase="search"), tmp_path)
    assert "costs" not in {each["name"] for each in data(page)["figures"]}
