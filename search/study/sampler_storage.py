"""The study as a sampler sees it while it makes one suggestion: chosen trials, and a new one.

Samplers read their history through a study's storage. This storage shows them a window of an arm's
trials (or all of them), perhaps with several objectives, without copying any, and keeps what they
write: attributes of the new trial, to be stored with it, and attributes of the study, at once.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class SuggestionStorage(BaseStorage):
    """One study with given trials, to which one trial may be added."""

    def __init__(
        self,
        name: str,
        directions: Sequence[StudyDirection],
        trials: list[FrozenTrial],
        number: int,
        notes: Mapping[str, Any],
    ) -> None:
        """number: of the trial that a suggestion is made for.

        notes: attributes of the real study, for samplers that keep something there.
        """
        self._name = name
        self._directions = list(directions)
        self._trials = trials
        self._notes = notes
        self.written: dict[str, Any] = {}  #: what the sampler has noted on the study
        self._new = FrozenTrial(
            number=number,
            trial_id=-1,  # of no stored trial
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

    @property
    def attributes(self) -> dict[str, Any]:
        """What the sampler has noted on the new trial."""
        return self._new.system_attrs

    def ask(self, sampler: BaseSampler) -> optuna.Trial:
        """Return the new trial, whose values the sampler suggests."""
        pruner = optuna.pruners.NopPruner()  # hyperband's would hide other brackets' trials
        study = optuna.load_study(
            study_name=self._name, storage=self, sampler=sampler, pruner=pruner
        )
        return study.ask()

    # What is read

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the only study's id."""
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the only study's name."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of the objectives."""
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return no attributes: there are none."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what samplers have noted on the study."""
        return {**self._notes, **self.written}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id."""
        if trial_id == -1:
            return self._new
        return next(trial for trial in self._trials if trial._trial_id == trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in some states; never copies, since nobody changes a trial."""
        trials = [*self._trials, self._new]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    # What is written

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Return the new trial's id."""
        return -1

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Note a suggested value on the new trial."""
        value = distribution.to_external_repr(param_value_internal)
        self._new.params = {**self._new.params, param_name: value}
        self._new.distributions = {**self._new.distributions, param_name: distribution}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Note a sampler's attribute on the new trial."""
        self._new.system_attrs = {**self._new.system_attrs, key: value}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Note a sampler's attribute of the study."""
        self.written[key] = value

    # What no sampler has reason to do

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refuse."""
        raise NotImplementedError

    def delete_study(self, study_id: int) -> None:
        """Refuse."""
        raise NotImplementedError

    def get_all_studies(self) -> list[Any]:
        """Refuse."""
        raise NotImplementedError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse."""
        raise NotImplementedError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse."""
        raise NotImplementedError

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse."""
        raise NotImplementedError

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse."""
        raise NotImplementedError
