"""What MLflow's parent run is told of a verdict: its pairs as in verdict.json."""

import json
from pathlib import Path

import pytest

from search.results.evidence.judge import judge
from search.tracking.verdict import ToldVerdict, told_verdict


def told(folder: Path, **arms: list[float | None]) -> ToldVerdict:
    scores = {arm: {str(i): v for i, v in enumerate(values)} for arm, values in arms.items()}
    verdict = judge(scores, metric="accuracy", maximize=True, design="given")
    (folder / "verdict.json").write_text(json.dumps(verdict.as_dict()))
    found = told_verdict(folder)
    assert found is not None and found.sentence == verdict.sentence
    return found


def test_each_pair_stands_with_its_intervals(tmp_path: Path) -> None:
    better = [0.9 + 0.001 * number for number in range(20)]
    worse = [0.8 + 0.001 * (number % 3) for number in range(20)]
    lines = told(tmp_path, gru=better, lstm=worse).table.splitlines()
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells[:2] == ["gru − lstm", "100 %"] and cells[-2:] == ["20", "gru better"]
    assert cells[2].endswith("to 100 %") and cells[3].startswith("+0.1")
    assert cells[4].startswith("+0.") and " to +0." in cells[4]


def test_what_is_not_known_of_a_pair_is_a_dash(tmp_path: Path) -> None:
    (*_, line) = told(tmp_path, gru=[0.9, 0.91], lstm=[None, None]).table.splitlines()
    assert line.count("| – |") == 2 or "| – | – |" in line


def test_figures_are_those_of_the_verdict_and_lack_what_is_not_known(tmp_path: Path) -> None:
    better = [0.9 + 0.001 * number for number in range(20)]
    figures = told(tmp_path, gru=better, lstm=[each - 0.1 for each in better]).figures
    (pair,) = json.loads((tmp_path / "verdict.json").read_text())["pairs"]
    for name, key in (("win_probability", "probability"), ("difference", "difference")):
        interval = pair["interval" if key == "probability" else "difference_interval"]
        found = [figures[f"{name}{bound}/gru over lstm"] for bound in ("", "_low", "_high")]
        assert found == [pair[key], *interval]
    assert len(figures) == 6
    few = told(tmp_path, gru=[0.9, 0.91], lstm=[None, None]).figures
    assert {name.partition("/")[0] for name in few} == {
        *("win_probability", "win_probability_low", "win_probability_high")
    }


@pytest.mark.parametrize("pairs", [[{"first": "gru"}], "many", 7])
def test_pairs_that_cannot_be_read_leave_no_verdict(tmp_path: Path, pairs: object) -> None:
    plain = {"kind": "decided", "best": ["gru"], "sentence": "", "pairs": pairs}
    (tmp_path / "verdict.json").write_text(json.dumps(plain))
    assert told_verdict(tmp_path) is None
