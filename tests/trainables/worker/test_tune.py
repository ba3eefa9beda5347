"""The worker: what it reports of one trial, of several at once, and of what goes wrong."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces.config import TrialConfig
from trainables.data.sequences import Data
from trainables.worker.messages import TrialAssignment
from trainables.worker.tune import Worker

CONFIG = TrialConfig(
    cell="gru", gates="reset-after", depth=1, hidden_size=4, learning_rate=0.02, max_epochs=4
)


def work(number: int, checkpoints: list[str] | None = None, **changes: Any) -> TrialAssignment:
    config = CONFIG.model_copy(update=changes)
    key = f"confirm/gru/{number}"
    return TrialAssignment(
        key, 1, config, seed=number, rungs=[], checkpoints=checkpoints or [], test=True
    )


def worker(folder: Path, data: Data, *given: TrialAssignment, gpus: float = 0.0) -> Worker:
    """Return a worker as Ray Tune would set it up."""
    made = Worker.__new__(Worker)
    config = {"work": [piece.as_dict() for piece in given], "gpus": gpus}
    made.setup(config, data=data, checkpoints=str(folder), threads=1, packed=False)
    return made


def without_times(reports: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what is the same whenever it is trained."""
    return [
        (r["key"], r["checkpoint"], r["diverged"], r["test"], [p["metrics"] for p in r["epochs"]])
        for r in reports
    ]


def test_trials_at_once_report_what_each_reports_alone(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.worker.pack.SLICE_SECONDS", math.inf)
    data = make_data()
    folders = tmp_path / "together", tmp_path / "alone"
    for folder in folders:
        folder.mkdir()
    together = worker(folders[0], data, *(work(n) for n in range(3))).step()["report"]
    alone = [worker(folders[1], data, work(n)).step()["report"] for n in range(3)]
    assert without_times(together) == without_times([report for (report,) in alone])
    assert all(report["test"] is not None for report in together)


def test_a_trial_that_ended_is_reported_once_while_others_go_on(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.worker.pack.SLICE_SECONDS", 0.0)
    steep = {"cell": "rnn", "gates": "relu", "optimizer": "sgd", "gradient_clip": None}
    wild = work(1, **steep, learning_rate=1e12)
    made = worker(tmp_path, make_data("regression"), work(0, **steep), wild)
    reports = [made.step()["report"] for _ in range(4)]
    ended = [r["key"] for slice_ in reports for r in slice_ if r["diverged"]]
    assert ended == ["confirm/gru/1"]
    assert [r["key"] for r in reports[-1]] == ["confirm/gru/0"]
    assert reports[-1][0]["test"] is not None


def test_trials_go_on_together_from_checkpoints_of_different_epochs(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.worker.pack.SLICE_SECONDS", 0.0)
    data = make_data()
    (first,) = worker(tmp_path, data, work(0)).step()["report"]
    again = worker(tmp_path, data, work(0, [first["checkpoint"]]), work(1))
    epochs: dict[str, list[int]] = {"confirm/gru/0": [], "confirm/gru/1": []}
    for _ in range(4):
        for report in again.step()["report"]:
            epochs[report["key"]] += [point["epoch"] for point in report["epochs"]]
    assert epochs == {"confirm/gru/0": [2, 3, 4], "confirm/gru/1": [1, 2, 3, 4]}


def test_a_store_that_cannot_be_written_to_halts_the_job(make_data: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = [replace(work(number), test=False) for number in range(2)]
    reports = worker(tmp_path / "file", make_data(), *given).step()["report"]
    assert all(report["halt"] for report in reports)


def test_a_replicate_that_has_ended_needs_no_store(make_data: Any, tmp_path: Path) -> None:
    """Its scores are in its last report."""
    ended = worker(tmp_path, make_data(), work(0), work(1))
    reports: list[dict[str, Any]] = []
    while not any(report["test"] for report in reports):
        reports = ended.step()["report"]
    assert {report["checkpoint"] for report in reports} == {None}
    assert not [path for path in tmp_path.iterdir() if path.name.endswith("-e4")]


def test_a_replicate_whose_error_is_beyond_all_numbers_fails_in_words(
    make_data: Any, tmp_path: Path
) -> None:
    """No journal and no page could tell it."""
    data = make_data("regression")
    far = np.full_like(data.test.y, 1e38)
    ended = worker(tmp_path, replace(data, test=replace(data.test, y=far)), work(0))
    reports: list[dict[str, Any]] = []
    while not any(report["failure"] or report["test"] for report in reports):
        reports = ended.step()["report"]
    (report,) = reports
    assert "on test data must be a finite number" in report["failure"]
    assert report["test"] is None and not report["stored"]
    assert ended.step()["report"] == []


def test_a_worker_without_a_trial_reports_nothing_until_it_has_one(
    make_data: Any, tmp_path: Path
) -> None:
    made = worker(tmp_path, make_data(), work(0))
    made.take([], dropped=["confirm/gru/0"])
    assert made.step() == {"report": [], "room": 0, "waits": None}
    made.take([work(1).as_dict()])
    (report,) = made.step()["report"]
    assert report["key"] == "confirm/gru/1"


def test_a_worker_whose_gpu_torch_does_not_see_halts_the_job(
    make_data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    (report,) = worker(tmp_path, make_data(), work(0), gpus=1.0).step()["report"]
    assert "gatesearch doctor" in report["halt"]


def test_a_worker_reports_the_latency_before_it_trains_anything(
    make_data: Any, tmp_path: Path
) -> None:
    measured = replace(work(0), measure_latency=True)
    made = worker(tmp_path, make_data(), measured)
    (first,) = made.step()["report"]
    assert first["latency_ms"] > 0 and first["parameters"] > 0
    assert (first["epochs"], first["checkpoint"]) == ([], None)
    assert not list(tmp_path.iterdir())
    (second,) = made.step()["report"]
    assert second["latency_ms"] is None and second["epochs"][0]["epoch"] == 1
