"""A measured time is told with the code, device and precision that it is of."""

from typing import Any

import pytest
from small_trainings import small_config

from trainables import engine
from trainables.training.cohort import Cohort
from trainables.training.measured_path import (
    in_words,
    is_measured_path,
    joined,
    measured_path,
    parts,
)
from trainables.training.trainer import Training

ALONE = "engine" if engine.available() else "torch"


@pytest.mark.parametrize(
    ("cell", "gates", "path"),
    [
        ("lstm", "standard", ALONE),
        ("gru", "reset-after", ALONE),
        ("transformer", "encoder", "operators"),
    ],
)
def test_a_training_tells_the_path_of_its_epochs(
    cell: str, gates: str, path: str, make_data: Any
) -> None:
    training = Training(small_config(cell, gates), make_data(), seed=0)
    assert training.path is None  # nothing was measured yet
    training.advance(1)
    assert training.path == f"{path}/cpu/float32"
    assert is_measured_path(training.path)


@pytest.mark.skipif(not engine.available(), reason="members train one after the other")
def test_members_of_a_cohort_tell_the_cohort_s_path(make_data: Any) -> None:
    members = [Training(small_config("lstm", "standard"), make_data(), seed=n) for n in (0, 1)]
    cohort = Cohort(members)
    assert cohort.batched
    cohort.advance(1)
    assert [member.path for member in members] == ["engine/cpu/float32"] * 2


def test_a_path_is_stored_by_keys_and_shown_in_words() -> None:
    card = measured_path("kernel", "NVIDIA A100/40GB", "tf32")
    assert card == "torch/NVIDIA A100-40GB/tf32"
    both = joined(["engine/cpu/float32", card])
    assert parts(both) == ["engine/cpu/float32", card]
    assert both is not None
    assert in_words(both) == (
        "compiled engine, cpu, float32 + torch's kernel, NVIDIA A100-40GB, tf32"
    )
    assert (joined([]), parts(None)) == (None, [])


@pytest.mark.parametrize("text", ["", "engine", "engine/cpu", "engine/\x1b[31m/float32", "a/b/c/d"])
def test_what_is_no_path_is_seen(text: str) -> None:
    assert not is_measured_path(text)
