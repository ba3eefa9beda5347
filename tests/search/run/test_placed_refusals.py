"""What a task's data does not allow is refused at the line of the job file that asks for it."""

from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from search.run import session

#: Lines 2 and on of a job file, the place and the rule.
CASES = [
    ("task: {name: parity, length: 3}\n", "job.yaml:2: task.examples", "at most half of the 8"),
    (
        "task:\n  name: copy-memory\n  copied: 2\n  examples: 90\n",
        "job.yaml:5: task.examples",
        "at most 32",
    ),
    (
        "task: {kind: forecasting, data: own.npz, horizon: 2}\nconfirm:\n  design: nested\n",
        "job.yaml:4: confirm.design",
        "design must be seeds for forecasting",
    ),
    ("task: {kind: regression, data: own.npz}\n", "own.npz: the file", "missing y"),
]


@pytest.mark.parametrize(("text", "place", "rule"), CASES)
def test_a_field_that_the_data_does_not_allow_is_refused_at_its_line(
    text: str, place: str, rule: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "own.npz", x=np.arange(80.0)[:, None], lengths=[80])
    (tmp_path / "job.yaml").write_text(f"name: own\n{text}arms: [gru]\n")
    refused(lambda: session.load(tmp_path / "job.yaml"), place, rule, "remedy")
