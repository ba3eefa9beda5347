"""GateSearch runs the job that a job file runs, and is an estimator of scikit-learn."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import gatesearch, session
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from waiting import wait_until

from search import GateSearch
from search.job.folder import stored_job
from search.results.read import read_results
from spaces.errors import InputError

#: Sections of a job of seconds.
SMALL: dict[str, Any] = {
    "arms": ["lstm", "gru"],
    "space": {"depth": 1, "hidden_size": 8},
    "training": {"max_epochs": 3},
    "search": {"trials": 2},
}
RNG = np.random.default_rng(0)
Y = np.array(["calm", "shaken"])[np.arange(60) % 2]
X = [RNG.standard_normal((RNG.integers(5, 15), 2)) + 2.0 * (label == "shaken") for label in Y]


def test_a_fit_is_the_job_of_the_same_words(tmp_path: Path) -> None:
    model = GateSearch(**SMALL, confirm={"seeds": 3}, root=tmp_path).fit(X, Y)
    folder = model.job_
    again = gatesearch("compare", folder.name, "--json", "--root", str(tmp_path), cwd=tmp_path)
    assert json.loads(again)["verdict"] == model.verdict_
    assert len(model.results_) == len(read_results(folder).trials) == 4 + 6
    assert model.predict_proba(X[:5]).sum(axis=1) == pytest.approx(np.ones(5))
    assert set(model.predict(X)) <= {"calm", "shaken"} and model.score(X, Y) > 0.8
    dump = stored_job(folder).dump()
    assert dump["task"]["data"] == next(folder.glob("data-*.npz")).name
    assert model.best_config_["hidden_size"] == 8

    journal = (folder / "job.journal").read_bytes()
    same = clone(model).fit(X, Y)  # is read, not run
    assert same.job_ == folder and (folder / "job.journal").read_bytes() == journal
    other = clone(model).set_params(name=folder.name)
    with pytest.raises(InputError, match=r"task\.data was"):
        other.fit(X[:-1], Y[:-1])


def test_classes_of_digits_in_text_are_predicted_by_their_own_names(tmp_path: Path) -> None:
    y = np.where(Y == "calm", "9", "10")  # which text sorts before "9", and the job after it
    model = GateSearch(**SMALL, confirm={"seeds": 0}, root=tmp_path).fit(X, y)
    probabilities = model.predict_proba(X)
    assert model.classes_.tolist() == ["10", "9"] and model.score(X, y) > 0.8
    assert (model.classes_[probabilities.argmax(axis=1)] == model.predict(X)).all()


FIT = """\
import numpy as np
from search import GateSearch
x, y = np.random.default_rng(0).standard_normal((60, 20, 2)), np.arange(60) % 2
long = {"training": {"max_epochs": 2000}, "search": {"trials": 9}}
GateSearch("classification", ["lstm"], **long, name="long").fit(x, y)
"""


@pytest.mark.slow
def test_a_fit_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    journal = tmp_path / "runs" / "long" / "job.journal"
    process = subprocess.Popen([sys.executable, "-c", FIT], cwd=tmp_path, start_new_session=True)
    try:
        wait_until(lambda: journal.exists() and b"report" in journal.read_bytes(), "it trains")
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not session(process.pid), "nothing of the session is left")


@pytest.mark.slow
def test_a_fit_with_an_arm_that_always_diverges_has_the_other_s_model(tmp_path: Path) -> None:
    wild = {"name": "wild", "cell": "rnn", "space": {"learning_rate": 1e30}}
    small = {**SMALL, "arms": [wild, "gru"]}
    model = GateSearch(**small, confirm={"seeds": 0}, root=tmp_path).fit(X, Y)
    assert model.best_config_["cell"] == "gru"
    states = dict(zip(model.results_["arm"], model.results_["state"], strict=True))
    assert states["wild"] == "diverged"


@pytest.mark.slow
def test_an_estimator_of_regressions_stands_in_a_pipeline(tmp_path: Path) -> None:
    x = RNG.standard_normal((60, 6, 1))
    y = 300 + 60 * x.mean(axis=(1, 2))
    small = GateSearch("regression", **SMALL, confirm={"seeds": 0}, root=tmp_path)
    pipeline = make_pipeline(FunctionTransformer(), small)
    scores = cross_val_score(pipeline, x, y, cv=2)
    assert len(scores) == 2 and np.isfinite(scores).all()
    assert sum((tmp_path / name).is_dir() for name in map(str, tmp_path.glob("regression-*"))) == 2


#: By task: targets, what one prediction of the first five sequences looks like, and the score.
FURTHER: dict[str, tuple[Any, Any]] = {
    "multi-label": (np.stack([Y == "shaken", np.arange(60) % 3 == 0], axis=1), (5, 2)),
    "tagging": ([np.where(x[:, 0] > 1, "up", "down") for x in X], [(len(x),) for x in X[:5]]),
    "regression": (np.stack([np.arange(60.0), 3 - (Y == "shaken")], axis=1), (5, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", FURTHER)
def test_a_fit_of_other_targets_predicts_them_in_their_form(task: str, tmp_path: Path) -> None:
    y, shape = FURTHER[task]
    model = GateSearch(task, **SMALL, confirm={"seeds": 0}, root=tmp_path).fit(X, y)
    found = model.predict(X[:5])
    assert ([each.shape for each in found] if task == "tagging" else found.shape) == shape
    assert np.isfinite(model.score(X, y)) and hasattr(model, "predict_proba") != (
        task == "regression"
    )
    if task == "tagging":
        assert {*np.concatenate(found)} <= {"up", "down"}
        assert [p.shape for p in model.predict_proba(X[:2])] == [(len(x), 2) for x in X[:2]]


#: Two series of a covariate, from which the same values are forecast, whatever is learned.
STEPS = np.arange(90)
VALUES = [50 + STEPS + 10 * np.sin(STEPS / 2 + shift) for shift in (0.0, 1.0)]
KNOWN = [np.stack([each, RNG.standard_normal(90)], axis=1)[:-4] for each in VALUES]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"difference": 1, "transform": "log"}])
def test_a_fit_of_series_forecasts_what_follows_them(
    options: dict[str, Any], tmp_path: Path
) -> None:
    given = {"horizon": 4, "window": 12, **options}
    model = GateSearch("forecasting", **SMALL, task_options=given, root=tmp_path)
    model.set_params(confirm={"seeds": 0}, training={"max_epochs": 30}).fit(KNOWN)
    found, after = model.predict(KNOWN), np.stack([each[-4:] for each in VALUES])
    assert found.shape == (2, 4) and not hasattr(model, "predict_proba")
    assert np.abs(found - after).max() < 20 and model.score(KNOWN, after) <= 1
    assert model.n_features_in_ == 2


def test_a_fit_of_series_without_a_horizon_or_with_targets_is_refused(tmp_path: Path) -> None:
    model = GateSearch("forecasting", task_options={"horizon": 4}, root=tmp_path)
    with pytest.raises(InputError, match="y and groups must not be given"):
        model.fit(KNOWN, [1, 2])
    with pytest.raises(ValueError, match="horizon must say how many"):
        GateSearch("forecasting", root=tmp_path).fit(KNOWN)


def test_a_fit_of_one_sequence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not 1 sample"):
        GateSearch("regression", root=tmp_path).fit(X[:1], [1.0])
    assert [*tmp_path.iterdir()] == []


#: The check that SciPy must have been imported for, with SCIPY_ARRAY_API set.
OF_OTHER_ARRAYS = "check_array_api_input"
#: What learns the checks' data in seconds. Of regression these are 200 rows of ten numbers, read as
#: ten steps, of which one tells: a plain cell finds it, gated ones learn the noise first.
SMALLEST: dict[str, dict[str, Any]] = {
    "classification": {"arms": ["gru"], "training": {"max_epochs": 40}},
    "regression": {
        "arms": ["rnn"],
        "space": {"depth": 1, "hidden_size": 64, "learning_rate": 0.001},
        "training": {"max_epochs": 40, "batch_size": 16},
    },
}


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_scikit_learns_checks_pass(task: str, tmp_path: Path) -> None:
    small = GateSearch(task, **SMALL | SMALLEST[task], confirm={"seeds": 0}, root=tmp_path)
    done = check_estimator(small, on_skip=None)
    states = {each["check_name"]: each["status"] for each in done}
    assert states.pop(OF_OTHER_ARRAYS) == "skipped"  # the next test makes it
    assert len(states) > 40 and {*states.values()} == {"passed"}


CHECK = f"""\
import sys
from sklearn.utils.estimator_checks import {OF_OTHER_ARRAYS} as check
from search import GateSearch
task, root = sys.argv[1:]
small = GateSearch(task, **{SMALL | {"confirm": {"seeds": 0}}}, root=root)
check("GateSearch", small, array_namespace="numpy", expect_only_array_outputs=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_fit_is_the_same_where_scikit_learn_takes_other_arrays(task: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHECK, task, str(tmp_path)]
    subprocess.run(command, env={**os.environ, "SCIPY_ARRAY_API": "1"}, check=True)
    assert [*tmp_path.glob(f"{task}-*/verdict.json")]
