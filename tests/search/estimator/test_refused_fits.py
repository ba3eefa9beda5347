"""A fit that is refused says why, and makes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import GateSearch
from spaces.errors import InputError

X = np.random.default_rng(0).standard_normal((20, 5, 2))
Y = np.arange(20) % 2


@pytest.mark.parametrize(
    ("settings", "y", "rule"),
    [
        ({}, np.zeros(20, int), "at least two classes"),
        ({"arms": "lstm"}, Y, "arms must be a list, not 'lstm'"),
        ({"arms": ["lsmt"]}, Y, "there is no cell"),
        ({"task_options": {"kind": "regression"}}, Y, "a mapping without kind"),
        ({"task_options": "macro-f1"}, Y, "a mapping without kind, not 'macro-f1'"),
    ],
)
def test_a_refused_fit_makes_nothing(
    settings: dict[str, Any], y: Any, rule: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rule):
        GateSearch(**settings, root=tmp_path).fit(X, y)
    assert not list(tmp_path.iterdir())


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(InputError, match="root must be a folder"):
        GateSearch(root=tmp_path / "runs").fit(X, Y)
    assert (tmp_path / "runs").read_text() == "mine"
