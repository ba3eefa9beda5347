"""Claims about jobs that an earlier version made: they are read, exported and resumed as they were.

tests/data/runs_before/README.md says what the data are.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import gatesearch, records
from safetensors.numpy import load_file

DATA = Path(__file__).resolve().parents[1] / "data" / "runs_before"
EXPECTED = DATA / "expected"
EXPORTED = sorted(path.name for path in (EXPECTED / "finished.export").iterdir())
#: How far values may be apart on another kind of processor: sums are added up in other orders, and
#: every epoch carries the difference on.
DIGITS = 1e-3
#: Fields of a record that came later.
LATER = ("path", "latency_path", "alone", "split", "scores", "candidate", "training")
#: Settings that came later, with their defaults.
LATER_SETTINGS = {
    "precision": "float32",
    "schedule": "constant",
    "warm_up": 0,
    "decay_after": 5,
    "decay_factor": 0.3,
    "patience": None,
    "class_weights": None,
    "carry_state": "never",
    "truncation": None,
    "buckets": False,
}
#: Fields of a record that another run, or another processor, changes.
OF_ONE_RUN = ("train_seconds", "checkpoint", "value", "curve", "test")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of both jobs, for commands that only read them."""
    return copy_to(tmp_path_factory.mktemp("before"))


def copy_to(folder: Path) -> Path:
    for name in ("finished", "interrupted"):
        shutil.copytree(DATA / name, folder / "runs" / name)
    return folder


def expected(name: str) -> Any:
    return json.loads((EXPECTED / f"{name}.json").read_text())


def as_before(value: Any) -> Any:
    """Return a value without settings that came later; their defaults must stand there."""
    if isinstance(value, list):
        return [as_before(one) for one in value]
    if not isinstance(value, dict):
        return value
    for name, default in LATER_SETTINGS.items():
        assert value.get(name, default) == default
    return {name: as_before(one) for name, one in value.items() if name not in LATER_SETTINGS}


def figures(cwd: Path, name: str) -> list[dict[str, Any]]:
    """Return what `results` says about a job, in the form of the expected results."""
    listed: list[dict[str, Any]] = as_before(records(cwd, name))
    for record in listed:
        for name in ("mlflow_run_id", *LATER):
            del record[name]
        record["curve"] = [[p["epoch"], p["train_loss"], p["value"]] for p in record["curve"]]
    return listed


@pytest.mark.parametrize(
    ("name", "answer"), [("finished", "finished.results"), ("interrupted", "interrupted.before")]
)
def test_results_have_the_same_figures_to_the_digit(copied: Path, name: str, answer: str) -> None:
    assert figures(copied, name) == expected(answer)


def test_compare_has_the_same_figures_to_the_digit(copied: Path) -> None:
    wanted = expected("finished.compare")
    compared = as_before(json.loads(gatesearch("compare", "finished", "--json", cwd=copied)))
    for arm in compared["arms"]:
        del arm["leader"]  # that version said only which finalist leads
        assert arm.pop("mean_parameters") > 0
        assert arm.pop("nested") is None
        assert arm.pop("paths") == []  # and nothing of what times were measured on
        assert arm.pop("diverged")["of_replicates"] > 0
        assert arm.pop("good_rates")["width"] is None  # nor of what is reached without a model
        for name in ("alone", "gap"):
            assert all(finalist.pop(name) is None for finalist in arm["finalists"])
        for finalist in arm["finalists"]:  # epochs are counted, which nobody timed alone
            took = finalist.pop("to_target")
            assert took["replicates"] > 0 and took["seconds"] is None
        replicates = [each for finalist in arm["finalists"] for each in finalist["replicates"]]
        for name in ("split", "training", "gap"):
            assert all(each.pop(name) is None for each in replicates)
    assert {name: compared[name] for name in wanted} == wanted


@pytest.fixture(scope="module")
def exported(copied: Path) -> dict[str, Path]:
    """The exported folders, by arm and number of the trial."""
    gatesearch("export", "finished", "--top", "5", "--out", "exported", cwd=copied)
    return {path.name.partition("-")[2]: path for path in (copied / "exported").iterdir()}


def test_export_takes_the_same_configurations(exported: dict[str, Path]) -> None:
    assert sorted(exported) == EXPORTED


@pytest.mark.parametrize("trial", EXPORTED)
def test_export_writes_the_same_job_file(exported: dict[str, Path], trial: str) -> None:
    """But for its comments, which name versions, and settings that came later."""
    before, now = (
        [line for line in (folder / "config.yaml").read_text().splitlines() if line[0] != "#"]
        for folder in (EXPECTED / "finished.export" / trial, exported[trial])
    )
    for name, default in LATER_SETTINGS.items():
        text = "null" if default is None else str(default).replace("False", "false")
        now = [line.replace(f" {name}: {text},", "") for line in now]
    assert now == before


def test_export_writes_the_same_weights(exported: dict[str, Path]) -> None:
    before = load_file(EXPECTED / "finished.export" / "gru-3" / "weights.safetensors")
    now = load_file(exported["gru-3"] / "weights.safetensors")
    assert now.keys() == before.keys()
    for name, weights in before.items():
        assert now[name].dtype == weights.dtype
        assert now[name].tobytes() == weights.tobytes(), name


def test_an_interrupted_job_resumes_to_the_same_trials(tmp_path: Path) -> None:
    """Values may differ in their last digits, on another kind of processor."""
    gatesearch("resume", "interrupted", cwd=copy_to(tmp_path))
    wanted, resumed = expected("interrupted.results"), figures(tmp_path, "interrupted")
    assert [without(record) for record in resumed] == [without(record) for record in wanted]
    ended = [record for record in expected("interrupted.before") if record["state"] != "running"]
    assert ended == [record for record in resumed if record in ended]  # of these not a digit
    for record, before in zip(resumed, wanted, strict=True):
        np.testing.assert_allclose(record["value"], before["value"], rtol=DIGITS)
        np.testing.assert_allclose(record["curve"], before["curve"], rtol=DIGITS)
        assert (record["test"] or {}).keys() == (before["test"] or {}).keys()
        for metric, value in (before["test"] or {}).items():
            np.testing.assert_allclose(record["test"][metric], value, rtol=DIGITS)


def without(record: dict[str, Any]) -> dict[str, Any]:
    """Return what of a record must be the same on every machine."""
    return {name: value for name, value in record.items() if name not in OF_ONE_RUN}
