"""What is private or undocumented in Optuna and is relied on: each claim says what would break."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from driven import drive, job
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.journal.file import FileJournal, FileReader
from search.study import optuna_compat
from search.study.journal_backend import JournalBackend
from search.study.optuna_compat import StoredStudy
from search.study.sampler_storage import SuggestionStorage

RATE = FloatDistribution(1e-4, 1e-1, log=True)

#: Optuna's operations by the codes that stand in the journals of all jobs.
OPERATIONS = {
    "CREATE_STUDY": 0,
    "DELETE_STUDY": 1,
    "SET_STUDY_USER_ATTR": 2,
    "SET_STUDY_SYSTEM_ATTR": 3,
    "CREATE_TRIAL": 4,
    "SET_TRIAL_PARAM": 5,
    "SET_TRIAL_STATE_VALUES": 6,
    "SET_TRIAL_INTERMEDIATE_VALUE": 7,
    "SET_TRIAL_USER_ATTR": 8,
    "SET_TRIAL_SYSTEM_ATTR": 9,
}

#: What SuggestionStorage implements of the interface of storages.
STORAGE_METHODS = {
    "create_new_study",
    "create_new_trial",
    "delete_study",
    "get_all_studies",
    "get_all_trials",
    "get_study_directions",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_system_attrs",
    "get_study_user_attrs",
    "get_trial",
    "set_study_system_attr",
    "set_study_user_attr",
    "set_trial_intermediate_value",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
}


def test_operations_have_the_codes_of_stored_journals() -> None:
    """Otherwise no job of an earlier version could be resumed or read."""
    from optuna.storages.journal._storage import JournalOperation

    known = {operation.name: int(operation) for operation in JournalOperation}
    assert {name: known.get(name) for name in OPERATIONS} == OPERATIONS


def test_every_record_of_optunas_has_its_key_and_no_record_of_ours_has_it(tmp_path: Path) -> None:
    """Otherwise Optuna's records would not be found in a job's journal, or ours taken for them."""
    drive(job(tmp_path, arms=["lstm"], search={"trials": 2}, confirm={"seeds": 0}), tmp_path)
    records = [r for group in FileReader(tmp_path / "job.journal").groups() for r in group]
    assert all(("record" in each) != (optuna_compat.OPERATION in each) for each in records)
    codes = {each[optuna_compat.OPERATION] for each in records if "record" not in each}
    assert codes and codes <= set(OPERATIONS.values())
    with FileJournal(tmp_path / "job.journal") as journal:
        storage = JournalStorage(JournalBackend(journal, journal.take_history()))
        assert [study.n_trials for study in optuna.get_all_study_summaries(storage)] == [2]


def test_optuna_asks_a_journal_for_records_in_order() -> None:
    """Otherwise it would miss records: the backend forgets those before the number asked for."""
    asked: list[int] = []

    class Backend(BaseJournalBackend):
        def __init__(self) -> None:
            self.logs: list[dict[str, Any]] = []

        def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
            asked.append(log_number_from)
            return self.logs[log_number_from:]

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            self.logs += json.loads(json.dumps(logs))

    study = StoredStudy(JournalStorage(Backend()), "study", "maximize")
    for number in range(3):
        study.study.add_trial(create_trial(state=TrialState.RUNNING))
        study.set_value(number, 1, 0.5)
        study.end(number, TrialState.COMPLETE, 0.5)
    assert len(asked) > 3
    assert asked == sorted(asked)


def test_a_storages_interface_is_the_one_that_is_implemented() -> None:
    """Otherwise samplers would call methods that SuggestionStorage does not have."""
    assert BaseStorage.__abstractmethods__ == STORAGE_METHODS


@pytest.fixture
def study() -> StoredStudy:
    return StoredStudy(InMemoryStorage(), "study", "minimize")


def running(study: StoredStudy) -> int:
    trial = create_trial(
        state=TrialState.RUNNING, params={"rate": 0.01}, distributions={"rate": RATE}
    )
    study.study.add_trial(trial)
    return len(study.trials) - 1


def test_a_storages_writes_are_what_studies_and_trials_show(study: StoredStudy) -> None:
    """Otherwise values, figures and ends of trials would not reach samplers."""
    number = running(study)
    study.set_attribute("sampler", [1])
    study.set_value(number, 3, 0.25)
    study.set_figure(number, "parameters", 100)
    study.set_trial_attribute(number, "note", 7)
    study.end(number, TrialState.COMPLETE, 0.125)
    (trial,) = study.study.get_trials()
    assert trial == study.trial(number) == study.trials[number]
    assert trial.intermediate_values == {3: 0.25}
    assert trial.user_attrs == {"parameters": 100}
    assert trial.system_attrs == {"note": 7}
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.125)
    assert study.attributes == {"sampler": [1]}


def test_a_study_is_opened_where_it_exists() -> None:
    storage = InMemoryStorage()
    running(StoredStudy(storage, "study", "minimize"))
    assert len(StoredStudy(storage, "study", "minimize").trials) == 1


def test_the_latency_constraint_is_one_of_optunas(study: StoredStudy) -> None:
    """Otherwise samplers would not learn to meet a limit of latency."""
    number = running(study)
    study.set_trial_attribute(number, optuna_compat.LATENCY_CONSTRAINT, 1.5)
    assert study.trial(number).constraints == {"latency_ms": 1.5}
    public = create_trial(value=0.0, constraints={"latency_ms": 1.5})
    assert public.system_attrs == {optuna_compat.LATENCY_CONSTRAINT: 1.5}


def test_values_at_rungs_are_stored_where_optuna_stores_them() -> None:
    """Otherwise its own tools and a resumed job would see other rungs."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
    trial = optuna.create_study(pruner=pruner).ask()
    trial.report(0.5, 3)
    trial.should_prune()
    stored = trial.storage.get_trial(trial._trial_id).system_attrs
    assert stored == {optuna_compat.completed_rung(rung): 0.5 for rung in (0, 1)}


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: TPESampler(n_startup_trials=1, multivariate=True, constant_liar=True, seed=0),
        lambda: GPSampler(n_startup_trials=1, seed=0),
    ],
    ids=["tpe", "gp"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_parameters_that_samplers_share_are_recognized(sampler: Callable[[], BaseSampler]) -> None:
    """Otherwise every trial would store its parameters twice."""
    ended = [
        create_trial(
            value=rate,
            params={"rate": rate, "depth": 1},
            distributions={"rate": RATE, "depth": IntDistribution(1, 3)},
        )
        for rate in (0.001, 0.01, 0.05)
    ]
    storage = SuggestionStorage("study", [optuna.study.StudyDirection.MINIMIZE], ended, 3, {})
    trial = storage.ask(sampler())
    trial.suggest_float("rate", RATE.low, RATE.high, log=True)
    attributes = storage.trial_attributes
    assert attributes
    assert all(optuna_compat.shares_parameters(name) for name in attributes)


def test_a_new_trial_is_one_as_a_study_opens_it() -> None:
    """Otherwise samplers could not work on the trial that SuggestionStorage opens."""
    opened = optuna.create_study().ask()._get_latest_trial()
    made = optuna_compat.new_trial(0)
    assert vars(made).keys() == vars(opened).keys()
    for name in ("number", "state", "params", "distributions", "user_attrs", "system_attrs"):
        assert getattr(made, name) == getattr(opened, name)
    optuna_compat.add_parameter(made, "rate", RATE, 0.01)
    assert (made.params, made.distributions) == ({"rate": 0.01}, {"rate": RATE})


def test_a_trial_is_found_by_its_id_and_a_copy_has_it(study: StoredStudy) -> None:
    """Otherwise samplers would look up other trials than those that they are shown."""
    for _ in range(3):
        running(study)
    for trial in study.trials:
        changed = optuna_compat.with_outcome(trial, TrialState.COMPLETE, [1.0])
        assert optuna_compat.with_id(study.trials, trial._trial_id) == trial
        assert optuna_compat.with_id([changed], trial._trial_id) is changed
        assert (changed.number, changed.params) == (trial.number, trial.params)
        assert (changed.state, changed.value) == (TrialState.COMPLETE, 1.0)


def test_another_number_leaves_the_original_as_it_was(study: StoredStudy) -> None:
    """Otherwise a prior trial would be taken for one of the arm's own."""
    running(study)
    (trial,) = study.trials
    changed = optuna_compat.with_number(trial, -1)
    assert isinstance(changed, FrozenTrial)
    assert (changed.number, trial.number) == (-1, 0)
    assert changed.params == trial.params


def test_trials_that_are_inserted_at_once_are_those_that_optuna_adds(tmp_path: Path) -> None:
    """Otherwise tools of Optuna's would show other trials, or none."""
    began = datetime(2026, 1, 2, 3, 4, 5, 6)
    distributions = {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(("a", "b"))}
    trials = [
        create_trial(
            state=state,
            values=[float(number)] if state == TrialState.COMPLETE else None,
            params={"x": 0.5, "c": "b"},
            distributions=distributions,
            intermediate_values={1: 0.1, 3: float("nan"), 4: float("inf")},
            user_attrs={"u": [1, None]},
            system_attrs={"s": {"a": True}},
        )
        for number, state in enumerate(TrialState)
    ]
    for number, trial in enumerate(trials):
        trial.number, trial.datetime_start = number, began
        trial.datetime_complete = began if trial.state.is_finished() else None
    storage = RDBStorage(f"sqlite:///{tmp_path}/studies.db")
    try:
        for name in ("theirs", "ours"):
            optuna.create_study(study_name=name, storage=storage)
        optuna.load_study(study_name="theirs", storage=storage).add_trials(trials)
        optuna_compat.insert_trials(storage, "ours", trials)
        theirs, ours = (
            [
                {key: str(value) for key, value in vars(trial).items() if key != "_trial_id"}
                for trial in optuna.load_study(study_name=name, storage=storage).trials
            ]
            for name in ("theirs", "ours")
        )
        assert len(ours) == len(TrialState) and ours == theirs
    finally:
        storage.remove_session()
        storage.engine.dispose()


#: Names of Optuna's that are private, and methods of its storages, which are undocumented.
PRIVATE = re.compile(
    r"\b_(trial|study)_id\b|\b[sg]et_(trial|study)_\w*attrs?\b|\bset_trial_(param|state|inter)"
    r"|relative_params|completed_rung_|\"constraints:|op_code|\boptuna(\.\w+)*\._"
)
ALLOWED = {"search/study/optuna_compat.py", "search/study/sampler_storage.py"}


def test_private_names_stand_in_the_compatibility_module_alone() -> None:
    root = Path(optuna_compat.__file__).parents[2]
    files = {path.relative_to(root).as_posix(): path for path in root.glob("search/**/*.py")}
    found = {name for name, path in files.items() if PRIVATE.search(path.read_text())}
    assert found == ALLOWED
