"""A finalist is on a front where no other one is as good at no more of its cost."""

from pathlib import Path

from made_results import two_finalists

from search.results.summarise import compare
from search.results.tables import trade_offs


def test_no_finalist_beats_one_on_the_front_in_value_and_cost(tmp_path: Path) -> None:
    figures = compare(two_finalists(tmp_path))
    fronts = {front.cost: front.points for front in figures.costs}
    assert fronts.keys() == {"parameters", "train_seconds"}, "no latency was measured"
    for points in fronts.values():
        assert len(points) == 4
        for one in points:
            beaten = any(
                other.value >= one.value
                and other.cost <= one.cost
                and (other.value, other.cost) != (one.value, one.cost)
                for other in points
            )
            assert one.on_front != beaten
    sizes = {(point.arm, point.number): point.on_front for point in fronts["parameters"]}
    assert sizes["lstm", 1] and not sizes["lstm", 0], "better and smaller, worse and larger"


def test_the_table_says_which_arms_are_unbeaten_at_a_cost(tmp_path: Path) -> None:
    table = trade_offs(compare(two_finalists(tmp_path)))
    unbeaten = {str(row[0]): row[-1] for row in table.rows}
    assert unbeaten["lstm"] == "parameters, training time"
