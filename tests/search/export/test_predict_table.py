"""A model that was trained on a table takes tables, and answers in the user's own words."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from exported_jobs import SmallJob, small_job
from refusals import refused

from search.cli.local import predict as command_predict
from search.export.export import export
from search.export.predict import apply
from search.job.spec import JobSpec
from trainables.data import tasks

MOODS = {"calm", "glad", "sad"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SmallJob:
    made = small_job(tmp_path_factory.mktemp("table") / "job", "table")
    made.add("lstm", max_epochs=20, learning_rate=0.03)
    export(made.results, made.folder / "export")
    return made


def test_predictions_have_the_user_s_ids_and_classes(
    job: SmallJob, capsys: pytest.CaptureFixture[str]
) -> None:
    command_predict(job.folder / "export", job.folder / "own.csv")
    printed = capsys.readouterr()
    rows = list(csv.DictReader(printed.out.splitlines()))
    assert [row["sequence"] for row in rows] == [f"w{who}" for who in range(30)]
    assert {row["class"] for row in rows} <= MOODS
    assert {name.removeprefix("probability_") for name in rows[0]} >= MOODS
    told = [("calm", "glad", "sad")[who % 3] == row["class"] for who, row in enumerate(rows)]
    assert f"accuracy {np.mean(told):.4f}" in printed.err


def test_predictions_as_json_and_npz_say_the_same(
    job: SmallJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command_predict(job.folder / "export", job.folder / "own.csv", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found["labels"]) == MOODS
    command_predict(job.folder / "export", job.folder / "own.csv", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["class"].tolist() == [row["class"] for row in found["predictions"]]


def test_arrays_without_names_are_taken_too(job: SmallJob, tmp_path: Path) -> None:
    part = job.data.validation
    assert part.y is not None
    np.savez(
        tmp_path / "new.npz",
        x=part.unscaled()[:],
        lengths=part.lengths,
        y=np.array(sorted(MOODS))[part.y],
    )
    prediction = apply(job.folder / "export", tmp_path / "new.npz")
    assert len(prediction) == len(part) and "accuracy" in prediction.metrics


def test_a_table_needs_the_columns_of_training_and_no_more(job: SmallJob, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("breath,who,pulse\n0.5,me,1.5\n0.25,me,1.25\n")
    assert len(apply(job.folder / "export", tmp_path / "new.csv")) == 1
    (tmp_path / "new.csv").write_text("who,pulse\nme,1.5\n")
    refused(lambda: apply(job.folder / "export", tmp_path / "new.csv"), "new.csv", "column breath")
    (tmp_path / "new.csv").write_text("who,pulse,breath,mood\nme,1,1,cross\n")
    refused(lambda: apply(job.folder / "export", tmp_path / "new.csv"), "mood", "not cross")


def test_the_card_names_columns_and_classes(job: SmallJob) -> None:
    card = (job.folder / "export" / "card.md").read_text()
    assert "`new.csv` has the columns `who`, `pulse`, `breath`" in card
    assert "Outputs, in their order: calm, glad, sad." in card


def test_the_exported_job_file_names_the_same_columns(job: SmallJob) -> None:
    again = JobSpec.load(job.folder / "export" / "config.yaml")
    assert tasks.load(again.task, Path("/nowhere")).info == job.data.info


@pytest.mark.parametrize(("task", "begins"), [("labels", "probability"), ("numbers", "prediction")])
def test_several_targets_are_predicted_by_the_names_of_their_columns(
    task: str, begins: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = small_job(tmp_path / "job", task)
    made.add("lstm", max_epochs=2)
    export(made.results, made.folder / "export")
    command_predict(made.folder / "export", made.folder / "own.csv")
    printed = capsys.readouterr()
    rows = list(csv.DictReader(printed.out.splitlines()))
    assert list(rows[0]) == ["sequence", f"{begins}_glad", f"{begins}_well"]
    assert made.data.info.metric.name in printed.err
    assert "in their order: glad, well." in (made.folder / "export" / "card.md").read_text()
    again = JobSpec.load(made.folder / "export" / "config.yaml")
    assert tasks.load(again.task, Path("/nowhere")).info == made.data.info
