"""The arithmetic of the benchmark of two checkouts."""

from pathlib import Path

import pytest
from against import alternate, figure_in, run, summary


@pytest.mark.parametrize(
    ("printed", "regex", "figure"),
    [
        ('{"ms_per_trial": 7.25, "trials": 400}', '"ms_per_trial":', 7.25),
        ("seconds 3\nseconds 4\n", "seconds", 4.0),  # the last one
        ("a=1e-3", "(a|b)=", 0.001),
        ("change -2", "change", -2.0),
    ],
)
def test_a_figure_is_the_last_number_after_its_prefix(
    printed: str, regex: str, figure: float
) -> None:
    assert figure_in(printed, regex) == figure


def test_a_command_that_prints_no_figure_is_refused() -> None:
    with pytest.raises(SystemExit, match="must print a number after 'seconds'"):
        figure_in("seconds: none\n", "seconds")


def test_each_side_is_first_in_every_second_round() -> None:
    asked: list[str] = []

    def measure(name: str) -> float:
        asked.append(name)
        return {"before": 2.0, "now": 3.0}[name]

    rows = alternate(measure, 3)
    assert asked == ["before", "now", "now", "before", "before", "now"]
    assert [row["ratio"] for row in rows] == [1.5, 1.5, 1.5]


def test_the_ratio_is_the_median_of_the_rounds_ratios_with_their_range() -> None:
    sides = [(1.0, 1.1), (2.0, 1.8), (10.0, 10.0)]
    found = summary([{"before": b, "now": n, "ratio": n / b} for b, n in sides])
    assert found["median_ratio"] == 1.0
    assert found["range"] == [0.9, 1.1]
    assert (found["rounds"], found["median_before"], found["median_now"]) == (3, 2.0, 1.8)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment has one program, `place`."""
    program = tmp_path / ".venv" / "bin" / "place"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nexec sh -c "$1"\n')
    program.chmod(0o755)
    return tmp_path


def test_a_command_runs_in_its_checkout_with_the_programs_of_its_environment(
    checkout: Path,
) -> None:
    (checkout / "figure").write_text("seconds 0.5")
    assert run(checkout, ["place", "cat figure"], "seconds") == 0.5
    assert run(checkout, ["place", 'test "$(command -v place)" = "$PWD/.venv/bin/place"'], None) > 0


def test_a_command_that_fails_ends_the_comparison(checkout: Path) -> None:
    with pytest.raises(SystemExit, match=r"exit code 3 .*\n.*no such thing"):
        run(checkout, ["place", "echo no such thing; exit 3"], None)
