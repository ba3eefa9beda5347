"""An exported model of a text reads raw text, and scores it as in training."""

from pathlib import Path
from typing import Any

import pytest
from exported_jobs import TEXTS, small_job

from search.export.export import export
from search.export.predict import apply
from trainables.data.stretches import Targets


@pytest.mark.parametrize("task", TEXTS)
@pytest.mark.parametrize("carry_state", ["never", "evaluation", "always"])
def test_figures_of_a_text_are_those_of_training(
    task: str, carry_state: Any, tmp_path: Path
) -> None:
    job = small_job(tmp_path / "job", task)
    trial = job.add("lstm", max_epochs=2, carry_state=carry_state, learning_rate=0.05)
    (folder,) = export(job.results, tmp_path / "export")
    text = (job.folder / "own.txt").read_text("utf-8")
    labels, part = job.data.info.labels, job.data.validation
    assert labels is not None and part.offsets is not None
    symbols = [str(label) for label in labels]
    at = Targets.of(part).at
    said = "".join(symbols[code] for code in [part.x[at[0]], *part.x[at + 1]])
    assert said in text
    (tmp_path / "new.txt").write_text(said, "utf-8")
    found = apply(folder, tmp_path / "new.txt").metrics
    assert trial.curve
    expected = max(trial.curve, key=lambda point: -point.value).metrics
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert task == "text" or found["bits-per-character"] < found["bits-per-token"]
