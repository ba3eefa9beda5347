"""What gatesearch uses of Optuna that is private or undocumented; nothing else of the kind is used.

A test of each says what breaks if Optuna changes it (tests/search/study/test_optuna_compat.py), and
pyproject.toml admits only releases of Optuna that have passed these tests. Undocumented is also the
interface of storages. StoredStudy calls it, and SuggestionStorage (sampler_storage.py) implements
it; nothing else touches it.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from spaces.kinds import Direction

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

#: The trial attribute that samplers and `FrozenTrial.constraints` read as a constraint.
LATENCY_CONSTRAINT = "constraints:latency_ms"

#: The key that every record of Optuna's journal has, and none of ours.
OPERATION = "op_code"

#: The id of the trial that SuggestionStorage opens; ids in storages count from 0.
NEW_TRIAL_ID = -1


def completed_rung(rung: int) -> str:
    """Return the trial attribute in which successive halving stores the value at a rung."""
    return f"completed_rung_{rung}"


def shares_parameters(attribute: str) -> bool:
    """Return whether TPE or GP shares a running trial's parameters in this trial attribute."""
    return "relative_params" in attribute


def new_trial(number: int) -> FrozenTrial:
    """Return a running trial without parameters, which is in no storage."""
    return FrozenTrial(
        number=number,
        trial_id=NEW_TRIAL_ID,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def add_parameter(
    trial: FrozenTrial, name: str, distribution: BaseDistribution, internal: float
) -> None:
    """Add a parameter, given in Optuna's internal form, to a trial that is in no storage."""
    trial.params = {**trial.params, name: distribution.to_external_repr(internal)}
    trial.distributions = {**trial.distributions, name: distribution}


def with_id(trials: Sequence[FrozenTrial], trial_id: int) -> FrozenTrial:
    """Return the trial that a storage knows by an id."""
    return next(trial for trial in trials if trial._trial_id == trial_id)


def with_outcome(
    trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
) -> FrozenTrial:
    """Return a copy with another outcome and without intermediate values."""
    changed = create_trial(
        state=state,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
    )
    changed.number, changed._trial_id = trial.number, trial._trial_id
    return changed


def as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a running trial as one that was pruned after its latest value."""
    changed = copy(trial)
    changed.state = TrialState.PRUNED
    changed.intermediate_values = dict(trial.intermediate_values)
    return changed


def with_number(trial: FrozenTrial, number: int) -> FrozenTrial:
    """Return a copy with another number."""
    changed = copy(trial)
    changed.number = number
    return changed


def insert_trials(storage: "RDBStorage", study_name: str, trials: Sequence[FrozenTrial]) -> None:
    """Add trials to an empty study of a relational storage, in one transaction.

    Optuna's own way looks all former trials up for each new one. What is written is what it writes.
    """
    from optuna.storages._rdb import models  # late: drivers need no relational database
    from sqlalchemy import func, insert, select

    study_id = storage.get_study_id_from_name(study_name)
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    with storage.engine.begin() as connection:
        known = connection.execute(select(func.max(models.TrialModel.trial_id))).scalar()
        for trial_id, trial in enumerate(trials, 1 + (known or 0)):
            rows[models.TrialModel].append(
                {
                    "trial_id": trial_id,
                    "number": trial.number,
                    "study_id": study_id,
                    "state": trial.state,
                    "datetime_start": _in_utc(trial.datetime_start),
                    "datetime_complete": _in_utc(trial.datetime_complete),
                }
            )
            for objective, value in enumerate(trial.values or ()):
                stored, kind = models.TrialValueModel.value_to_stored_repr(value)
                row: dict[str, Any] = {"trial_id": trial_id, "objective": objective}
                rows[models.TrialValueModel].append({**row, "value": stored, "value_type": kind})
            steps = models.TrialIntermediateValueModel
            for step, value in trial.intermediate_values.items():
                stored, of_kind = steps.intermediate_value_to_stored_repr(value)
                row = {"trial_id": trial_id, "step": step, "intermediate_value": stored}
                rows[steps].append({**row, "intermediate_value_type": of_kind})
            for name, value in trial.params.items():
                distribution = trial.distributions[name]
                rows[models.TrialParamModel].append(
                    {
                        "trial_id": trial_id,
                        "param_name": name,
                        "param_value": distribution.to_internal_repr(value),
                        "distribution_json": distribution_to_json(distribution),
                    }
                )
            for model, attributes in (
                (models.TrialUserAttributeModel, trial.user_attrs),
                (models.TrialSystemAttributeModel, trial.system_attrs),
            ):
                for key, value in attributes.items():
                    row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                    rows[model].append(row)
        for model, found in rows.items():
            connection.execute(insert(model.__table__), found)


def _in_utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)


class StoredStudy:
    """One study of a storage, whose trials are known by their numbers."""

    def __init__(self, storage: BaseStorage, name: str, direction: Direction) -> None:
        """Open the study, or create it where the storage does not have it yet."""
        self.study = optuna.create_study(
            study_name=name, storage=storage, direction=direction, load_if_exists=True
        )
        self._storage = storage
        self._id = storage.get_study_id_from_name(name)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number. They must not be changed."""
        return self._storage.get_all_trials(self._id, deepcopy=False)

    @property
    def attributes(self) -> dict[str, Any]:
        """What samplers have stored with the study."""
        return self._storage.get_study_system_attrs(self._id)

    def trial(self, number: int) -> FrozenTrial:
        """Return a trial as it is now."""
        return self._storage.get_trial(self._trial_id(number))

    def set_attribute(self, key: str, value: Any) -> None:
        """Store a sampler's attribute with the study."""
        self._storage.set_study_system_attr(self._id, key, value)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Store an attribute that samplers or pruners read with a trial."""
        self._storage.set_trial_system_attr(self._trial_id(number), key, value)

    def set_figure(self, number: int, name: str, value: float | None) -> None:
        """Store a figure of ours with a trial."""
        self._storage.set_trial_user_attr(self._trial_id(number), name, value)

    def set_value(self, number: int, epoch: int, value: float) -> None:
        """Store an intermediate value of a trial."""
        self._storage.set_trial_intermediate_value(self._trial_id(number), epoch, value)

    def end(self, number: int, state: TrialState, value: float | None) -> None:
        """End a trial; a complete one with its value."""
        values = None if value is None else [value]
        self._storage.set_trial_state_values(self._trial_id(number), state, values)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
