"""What a fitted estimator predicts has the form of its targets, whatever the task."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_jobs import SmallJob, small_job

from search import GateSearch
from search.export.export import export
from search.job.folder import BEST
from trainables.data.formats import labels

TASKS = {"multi-label": "multi-label", "tagging": "tagging", "several": "regression"}


def fitted(job: SmallJob, task: str, classes: Any) -> GateSearch:
    """An estimator as `fit` leaves it behind, of a job that was trained here."""
    model = GateSearch(task)
    model.job_, model.n_features_in_ = job.folder, job.data.info.inputs
    model.classes_ = model._names = classes
    if classes is not None:
        model._places, _ = labels.encode(classes)
    return model


@pytest.mark.parametrize("own", TASKS)
def test_predictions_have_the_form_of_the_targets(own: str, tmp_path: Path) -> None:
    job, task = small_job(tmp_path / "job", own), TASKS[own]
    job.add("gru", max_epochs=2)
    export(job.results, job.folder / BEST)
    model = fitted(job, task, np.array(["down", "up"]) if task == "tagging" else None)
    with np.load(job.folder / "own.npz") as stored:
        lengths, y = stored["lengths"], stored["y"]
        X = np.split(stored["x"], np.cumsum(lengths)[:-1])
    found = model.predict(X)
    if task == "tagging":
        assert [len(each) for each in found] == lengths.tolist()
        assert {*np.concatenate(found)} <= {"down", "up"}
        for each, probabilities in zip(found, model.predict_proba(X), strict=True):
            assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(each)))
            assert (model.classes_[probabilities.argmax(axis=1)] == each).all()
        y = np.split(y, np.cumsum(lengths)[:-1])
        right = np.concatenate(found) == np.concatenate(y)
        assert model.score(X, y) == pytest.approx(right.mean())
    else:
        assert found.shape == y.shape
        assert np.isfinite(model.score(X, y))
        if task == "multi-label":
            assert ((model.predict_proba(X) > 0.5) == (found == 1)).all()
            assert model.score(X, y) == pytest.approx((found == y).all(axis=1).mean())
