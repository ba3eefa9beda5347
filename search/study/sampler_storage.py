"""The study as a sampler sees it while it makes one suggestion: chosen trials, and a new one.

Samplers read earlier trials through a study's storage. This storage shows them a window of an arm's
trials (or all of them), perhaps with several objectives, and copies none. It collects what they
write, attributes of the new trial and of the study, so that it can be stored when the trial starts.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.study.optuna_compat import NEW_TRIAL_ID, add_parameter, new_trial, with_id


class SuggestionStorage(BaseStorage):
    """One study with given trials, to which one trial may be added."""

    def __init__(
        self,
        name: str,
        directions: Sequence[StudyDirection],
        trials: list[FrozenTrial],
        number: int,
        study_attributes: Mapping[str, Any],
    ) -> None:
        """number: of the trial that a suggestion is made for.

        study_attributes: of the real study, for samplers that store something there.
        """
        self._name = name
        self._directions = list(directions)
        self._trials = trials
        self._study_attributes = study_attributes
        self.new_study_attributes: dict[str, Any] = {}  #: what the sampler has added to the study
        self._new = new_trial(number)

    @property
    def trial_attributes(self) -> dict[str, Any]:
        """What the sampler has added to the new trial."""
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
        """Return what samplers have added to the study."""
        return {**self._study_attributes, **self.new_study_attributes}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id."""
        return self._new if trial_id == NEW_TRIAL_ID else with_id(self._trials, trial_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in some states, without copying them: samplers change no trial."""
        trials = [*self._trials, self._new]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    # What is written

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Return the new trial's id."""
        return NEW_TRIAL_ID

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Add a suggested value to the new trial."""
        add_parameter(self._new, param_name, distribution, param_value_internal)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Add a sampler's attribute to the new trial."""
        self._new.system_attrs = {**self._new.system_attrs, key: value}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Collect a sampler's attribute of the study."""
        self.new_study_attributes[key] = value

    # What no sampler does

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
