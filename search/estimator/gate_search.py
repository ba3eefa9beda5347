"""An estimator of scikit-learn that runs a whole job: search, confirm, verdict, export."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from search.estimator import arrays, fitting
from search.estimator.arrays import SequencesGiven
from search.export.predict import apply
from search.export.prediction import Prediction
from search.job.commands import RUNS, command
from search.job.folder import BEST, RESULTS, VERDICT
from search.results.read import read_results
from spaces.errors import GatesearchError, InputError
from spaces.text import listed, show
from trainables.data.formats import labels
from trainables.scratch import ScratchFolder

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
KINDS = ("classification", "multi-label", "tagging", "regression", "forecasting")


def _has_classes(self: "GateSearch") -> bool:
    return self.task in ("classification", "tagging")


def _has_probabilities(self: "GateSearch") -> bool:
    return self.task not in ("regression", "forecasting")


class GateSearch(BaseEstimator):  # type: ignore[misc]
    """Finds out which recurrent cell suits some sequences, and predicts with the best model.

    `fit` runs the job that a job file of the same words would run, in a folder of its own below
    `root`: `gatesearch report`, `results` and `dashboard` work on it. The same fit is not run
    twice: one that was interrupted goes on, one that is done is read.

        model = GateSearch(task="classification", arms=["lstm", "gru"]).fit(X, y)
        print(model.verdict_["sentence"])
        model.predict(X_new)

    Of the n sequences 60 % train, 20 % choose epochs and configurations, 20 % give the verdict; the
    model that predicts was trained on the 60 %. X and y: see search/estimator/arrays.py.

    Forecasts follow time instead: X are series, whose first feature is forecast, each parted 60 to
    20 to 20, and there is no y. A model reads how far values lie from the last one, unless
    `task_options` say `relative` or `difference`.

        model = GateSearch("forecasting", task_options={"horizon": 12, "season": 12}).fit(series)
        model.predict(series)  # [n, 12]: what follows the last step of each
    """

    job_: Path  #: the job's folder
    verdict_: dict[str, Any]  #: as `gatesearch compare NAME --json` has it
    results_: "pd.DataFrame"  #: a row a trial or replicate, as results.parquet has them
    best_config_: dict[str, Any]  #: settings of the model that predicts
    classes_: Array  #: [classes], of a classification or tagging; of multi-label 0, 1, 2, …
    n_features_in_: int

    def __init__(
        self,
        task: str = "classification",
        arms: Sequence[str | Mapping[str, Any]] = ("lstm", "gru"),
        *,
        task_options: Mapping[str, Any] | None = None,
        space: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        search: Mapping[str, Any] | None = None,
        confirm: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        name: str | None = None,
        root: str | Path = str(RUNS),
        verbose: bool = False,
    ) -> None:
        """Take in what a job file says; nothing is checked before `fit`.

        task: classification, regression (of one or several numbers), multi-label, tagging (a
        class for each step), or forecasting. task_options: what else a job file's section of the
        task may say, such as {"metric": "macro-f1"} or {"horizon": 12}. arms, and space to
        resources: those sections of a job file. name: the job's; None is one that follows from data
        and settings. root: the folder of jobs. verbose: whether the job's progress goes to standard
        error; if not, to fit.log.
        """
        self.task = task
        self.arms = arms
        self.task_options = task_options
        self.space = space
        self.training = training
        self.search = search
        self.confirm = confirm
        self.resources = resources
        self.name = name
        self.root = root
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Run the job.

        y: [n] classes or numbers; [n, targets] several numbers; [n, labels] of 0 and 1 for
        multi-label; a list of n arrays [steps] for tagging; none for forecasting. groups: [n],
        whose sequence each one is; a group is never torn apart.

        Raises ValueError where data or settings break a rule, and GatesearchError where the job
        fails.
        """
        if self.task not in KINDS:
            rule = f"task must be {listed(KINDS, 'or')}, not {show(self.task)}"
            raise InputError.of("GateSearch", rule, "other kinds have job files")
        if isinstance(self.arms, str):
            rule = f"arms must be a list, not {show(self.arms)}"
            raise InputError.of("GateSearch", rule, f"write arms=[{show(self.arms)}]")
        options = self.task_options
        if options is not None and (not isinstance(options, Mapping) or "kind" in options):
            rule = f"task_options must be a mapping without kind, not {show(options)}"
            raise InputError.of("GateSearch", rule, 'write {"horizon": 12}; task is the kind')
        given = arrays.sequences(X)
        number = len(given)
        if number == 1 and self.task != "forecasting":
            rule = "X must have sequences for training, validation and test, not 1 sample"
            raise InputError.of("X", rule, "give more sequences")
        stored = {"x": given.x, "lengths": given.lengths}
        if self.task == "forecasting":
            if y is not None or groups is not None:
                rule = "y and groups must not be given for forecasting: parts follow time"
                raise InputError.of("GateSearch", rule, "leave them out")
        elif self.task == "multi-label":
            stored["y"] = arrays.labels(y, number)
            self.classes_ = np.arange(stored["y"].shape[1])
        elif _has_classes(self):
            tagging = self.task == "tagging"
            target = arrays.tags(y, given.lengths) if tagging else arrays.classes(y, number)
            self.classes_, stored["y"] = np.unique(target), target
            floats = not tagging and np.asarray(y).dtype.kind == "f"
            self._names = np.unique(y) if floats else self.classes_
            self._places, _ = labels.encode(self.classes_)  # the job orders "2" before "10"
        else:
            stored["y"] = arrays.numbers(y, number)
        if groups is not None:
            stored["group"] = arrays.groups(groups, number)
        self.n_features_in_ = self._features(given)
        self.job_ = fitting.run(
            self._sections(),
            stored,
            self.name,
            Path(self.root).expanduser().resolve(),
            quiet=not self.verbose,
        )
        self._take_in()
        return self

    def predict(self, X: Any) -> Any:
        """Return what is predicted for n sequences.

        Classes [n]; numbers [n] or [n, targets] in the targets' own units; labels [n, labels] of 0
        and 1; of tagging a list of n arrays [steps] of classes. Of forecasting [n, horizon], what
        follows the last step of each series.
        """
        check_is_fitted(self, "job_")
        if self.task == "multi-label":
            return (self.predict_proba(X) > 0.5).astype(np.int64)
        if self.task == "tagging":
            return [self._names[each.argmax(axis=1)] for each in self.predict_proba(X)]
        if _has_classes(self):
            return self._names[self.predict_proba(X).argmax(axis=1)]
        found = self._predict(X).arrays["prediction"].astype(np.float64)
        return found.reshape(len(found), -1) if self.task == "forecasting" else found

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator, unused-ignore]
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities [n, classes] in the order of classes_, or [n, labels].

        Of tagging, a list of n arrays [steps, classes].
        """
        prediction = self._predict(X)
        found = prediction.arrays["probabilities"].astype(np.float64)
        if self.task == "multi-label":
            return found
        found = found[:, self._places]
        normed: Array = found / found.sum(axis=1, keepdims=True)
        if prediction.lengths is None:
            return normed
        return np.split(normed, np.cumsum(prediction.lengths)[:-1])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of a regression, of others the accuracy: of steps, or of all labels together.

        Of forecasting, R² of all steps ahead together; y: [n, horizon], what followed X.
        sample_weight: [n], or of tagging one weight for each step, one sequence after the other.
        """
        found = self.predict(X)
        if self.task == "tagging":
            y, found = (
                np.concatenate([np.asarray(each) for each in given]) for given in (y, found)
            )
        if self.task == "forecasting":
            if np.shape(y) != found.shape:
                rule = f"y must be {list(found.shape)}, what followed X, not {list(np.shape(y))}"
                raise InputError.of("y", rule, "give a row of all steps ahead for each series")
            if sample_weight is not None:
                sample_weight = np.repeat(sample_weight, found.shape[1])
            y, found = np.ravel(y), np.ravel(found)
        measure = accuracy_score if _has_probabilities(self) else r2_score
        return float(measure(y, found, sample_weight=sample_weight))

    def _sections(self) -> dict[str, Any]:
        """Return the job file but for its name and data."""
        task = {"kind": self.task, **_plain(self.task_options or {})}
        if self.task == "forecasting" and "difference" not in task:
            task.setdefault("relative", True)
        sections: dict[str, Any] = {"task": task, "arms": _plain(list(self.arms))}
        for name in ("space", "training", "search", "confirm", "resources"):
            if getattr(self, name) is not None:
                sections[name] = _plain(getattr(self, name))
        return sections

    def _take_in(self) -> None:
        import pandas as pd

        results = read_results(self.job_)
        best = results.best()
        if best is None or not (self.job_ / BEST).is_dir():
            rule = f"{self.job_} has no model to predict with"
            raise GatesearchError(f"{rule}; `{command('export', self.job_)} --out best` says why")
        self.best_config_ = best.config.model_dump(mode="json")
        self.verdict_ = json.loads((self.job_ / VERDICT).read_text())
        self.results_ = pd.read_parquet(self.job_ / RESULTS)

    def _predict(self, X: Any) -> Prediction:
        check_is_fitted(self, "job_")
        given = arrays.sequences(X)
        self._check_features(given)
        with ScratchFolder() as scratch:
            file = scratch.path / "X.npz"
            np.savez(file, allow_pickle=False, x=given.x, lengths=given.lengths)
            return apply(self.job_ / BEST, file)

    def _features(self, given: SequencesGiven) -> int:
        """Return features as scikit-learn counts them; of series, which may grow, of each step."""
        return given.x.shape[1] if self.task == "forecasting" else given.columns

    def _check_features(self, given: SequencesGiven) -> None:
        if (features := self._features(given)) != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but GateSearch is expecting "
                f"{self.n_features_in_} features as input"
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        classifies = _has_probabilities(self)
        tags.estimator_type = "classifier" if classifies else "regressor"
        tags.classifier_tags = ClassifierTags() if classifies else None
        tags.regressor_tags = None if classifies else RegressorTags()
        if tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = self.task == "multi-label"
        tags.target_tags.multi_output = self.task in ("multi-label", "regression")
        tags.target_tags.single_output = self.task != "multi-label"
        tags.target_tags.required = self.task != "forecasting"
        tags.input_tags.three_d_array = True
        return tags


def _plain(value: Any) -> Any:
    """Return sections as plain types, as YAML has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
