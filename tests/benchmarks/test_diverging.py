"""TPE stays away from where trainings diverge late."""

from pathlib import Path

from diverging import BY_CHANCE, SUGGESTIONS, diverging


def test_trials_that_diverge_late_attract_no_suggestions(tmp_path: Path) -> None:
    assert diverging(tmp_path) < SUGGESTIONS * BY_CHANCE < 20
