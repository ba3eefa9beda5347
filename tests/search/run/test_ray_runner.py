"""What a job's own cluster does ahead of time."""

import pytest
from ray.tune import Trainable
from ray.tune.execution import class_cache

from search.run import ray_runner


def test_tunes_actors_fit_workers_that_were_started_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor with an environment of its own is given a worker of its own."""
    monkeypatch.setattr(class_cache, "DEFAULT_ENV_VARS", class_cache.DEFAULT_ENV_VARS.copy())
    tables = class_cache.ENV_VARS_TO_PROPAGATE.copy()
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", tables)
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")

    def variables() -> dict[str, str]:
        actor = class_cache._ActorClassCache().get(Trainable)
        found: dict[str, str] = actor._default_options["runtime_env"].get("env_vars", {})
        return found

    assert variables()
    ray_runner._use_workers_started_ahead()
    assert variables() == {}
