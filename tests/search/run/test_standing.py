"""How far a job is, from its journal alone: what `gatesearch status` tells."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from driven import drive, job

from search.run.standing import clock, sentences, standing


def test_a_job_half_way_tells_phase_arms_trials_best_and_time_left(tmp_path: Path) -> None:
    state = drive(job(tmp_path), tmp_path, most_reports=25)
    found = standing(tmp_path)
    assert found is not None and found["phase"] == state.phase == "search"
    assert [arm["arm"] for arm in found["arms"]] == ["rnn", "lstm", "gru"]
    for arm in found["arms"]:
        trials = state.arm(arm["arm"], "search")
        ended = [trial for trial in trials if trial.state != "running"]
        assert (arm["spent"], arm["budget"], arm["unit"]) == (len(ended), 8, "trials")
        assert sum(arm["states"].values()) == len(trials)
    complete = [
        trial for trial in state.trials.values() if trial.state == "complete" and trial.value
    ]
    best = max(complete, key=lambda trial: trial.value or 0.0)
    assert found["metric"] == "accuracy" and found["best"]["value"] == best.value
    assert found["seconds_left"] > 0
    assert f"best accuracy {best.value:.4g}" in sentences(found)[0]


def test_a_finished_job_has_no_time_left(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path)
    found = standing(tmp_path)
    assert found is not None
    assert (found["phase"], found["seconds_left"]) == ("report", 0.0)
    assert [(arm["confirmed"], arm["replicates"]) for arm in found["arms"]] == 3 * [(2, 2)]
    assert "2 of 2 confirmed" in sentences(found)[1]


@pytest.mark.parametrize("there", [False, True], ids=["no folder", "an empty folder"])
def test_a_job_that_has_not_begun_has_no_standing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "vowels"
    if there:
        folder.mkdir()
    assert standing(folder) is None


def test_the_cluster_prints_it_as_one_line_of_json(tmp_path: Path) -> None:
    drive(job(tmp_path), tmp_path, most_reports=10)
    command = [sys.executable, "-P", "-m", "search.run.standing", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    word, _, rest = said.partition(" ")
    assert word == "GATESEARCH-STANDING" and json.loads(rest) == standing(tmp_path)


def test_who_only_looks_imports_no_library_that_decides() -> None:
    """They take seconds, of a command that asks for a line."""
    heavy = ("optuna", "scipy", "torch", "ray", "mlflow")
    program = f"import sys, search.run.standing; print([n for n in {heavy} if n in sys.modules])"
    command = [sys.executable, "-P", "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (187.9, "3:07"), (3750, "1:02:30")])
def test_a_duration_is_shown_as_people_read_it(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
