"""What is private or undocumented in Ray and is relied on: each claim says what would break."""

import inspect
from pathlib import Path

import pytest
import ray
from ray._private.node import Node
from ray.tune import Trainable
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.experiment.trial import _TemporaryTrialState

from search.run import ray_compat, ray_settings
from spaces.errors import GatesearchError

RAY = Path(ray.__file__).parent
BINARIES = ("_raylet.so", "core/src/ray/raylet/raylet", "core/src/ray/gcs/gcs_server")


@pytest.fixture(scope="module")
def shipped() -> bytes:
    """All of Ray's own code, Python and compiled."""
    python = b"".join(path.read_bytes() for path in sorted(RAY.rglob("*.py")))
    return python + b"".join((RAY / name).read_bytes() for name in BINARIES)


@pytest.mark.parametrize("sign", ray_compat.NODE_DEATH)
def test_ray_still_says_so_when_a_node_dies(sign: str, shipped: bytes) -> None:
    """Otherwise the loss of a node would count as a trial's fault."""
    assert sign.encode() in shipped
    assert ray_compat.is_node_death(f"The actor died: {sign}.")


def test_ray_still_says_so_when_a_busy_machine_is_too_slow_for_it() -> None:
    assert ray_compat.SLOW_START in Path(inspect.getfile(Node)).read_text()


def test_a_start_that_took_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def init(*, address: str) -> None:
        tried.append(address)
        if len(tried) < slow + 1:
            raise Exception(f"The current node {ray_compat.SLOW_START}.")

    monkeypatch.setattr(ray, "init", init)
    slow = 2
    ray_compat.start_own({"address": "local"})
    assert tried == ["local"] * 3
    tried, slow = [], 99
    with pytest.raises(GatesearchError, match="remedy: resume the job") as failure:
        ray_compat.start_own({"address": "local"})
    assert ray_compat.SLOW_START in str(failure.value.__cause__)
    assert len(tried) == ray_compat.STARTS


def test_other_deaths_are_the_worker_s_own() -> None:
    assert not ray_compat.is_node_death("The actor died: Worker exits with an exit code 1.")


@pytest.mark.parametrize("name", [*ray_settings.SETTINGS, ray_settings.ASKED_FOR[0]])
def test_ray_still_reads_this_setting(name: str, shipped: bytes) -> None:
    """Otherwise Tune would write snapshots and logs, take Ctrl-C, move workers, or ask for one."""
    assert name.encode() in shipped


def test_ray_still_reads_what_a_cluster_of_our_own_is_started_with(
    monkeypatch: pytest.MonkeyPatch, shipped: bytes
) -> None:
    """Otherwise it would be open to all, or start its workers late or elsewhere."""
    kept = (
        *("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV",
    )
    configured = ("RAY_num_prestart_python_workers", "RAY_preload_python_modules")
    for name in (*kept, *configured):
        monkeypatch.delenv(name, raising=False)
    before = ray_settings.os.environ.copy()
    ray_settings.set_for_own_cluster(3)
    after = ray_settings.os.environ
    assert {name for name in after if after[name] != before.get(name)} == {*kept, *configured}
    for name in kept:
        assert name.encode() in shipped
        monkeypatch.delenv(name)
    for name in configured:  # Ray puts RAY_ before the names of its configuration
        assert name.removeprefix("RAY_").encode() in shipped
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["_node_ip_address", "_temp_dir"])
def test_ray_init_still_takes_this_option(name: str) -> None:
    """Otherwise Ray would listen on another address, or write outside the job's scratch folder."""
    assert name in ray_settings.own_cluster_options(2, "/tmp/x", 1)
    source = (RAY / "_private" / "worker.py").read_text()
    assert f'kwargs.pop("{name}"' in source or f"{name}: " in source


def test_a_trial_of_tune_s_still_has_its_actor_where_it_is_looked_for() -> None:
    """Otherwise no worker could be handed its next trial, and none that hangs could be ended."""
    assert "ray_actor" in vars(_TemporaryTrialState())
    assert ray_compat.actor_of(Trial("any", stub=True)) is None


def test_the_error_of_a_trial_of_tune_s_is_still_in_a_file(tmp_path: Path) -> None:
    """Otherwise a lost worker's trial would be retried without a reason."""
    assert isinstance(Trial.error_file, property)

    class Failed:
        error_file = str(tmp_path / "error.txt")

    Path(Failed.error_file).write_text("Failure # 1 (occurred at ...)\nThe actor died.\n")
    assert ray_compat.error_of(Failed()) == "The actor died."  # type: ignore[arg-type]


def test_a_process_without_a_ray_of_its_own_has_no_dead_processes() -> None:
    """Otherwise a dead raylet would go unnoticed until Ray ends the driver."""
    assert callable(Node.dead_processes)
    assert ray_compat.dead_processes() == []


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of Tune's that may be changed."""
    monkeypatch.setattr(class_cache, "DEFAULT_ENV_VARS", class_cache.DEFAULT_ENV_VARS.copy())
    sent = class_cache.ENV_VARS_TO_PROPAGATE.copy()
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", sent)
    monkeypatch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")


def variables() -> dict[str, str]:
    """Return the variables that Tune has in the runtime environment of an actor."""
    actor = class_cache._ActorClassCache().get(Trainable)
    found: dict[str, str] = actor._default_options["runtime_env"].get("env_vars", {})
    return found


def test_tunes_actors_fit_workers_that_were_started_ahead(tables: None) -> None:
    """An actor with an environment of its own would get a worker of its own, a second later."""
    assert variables()
    ray_compat.use_prestarted_workers()
    assert variables() == {}


def test_tune_sends_no_credentials_of_s3_to_workers_of_a_cluster(
    tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise every node's log of runtime environments would have the secret."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "planted")
    assert "planted" in variables().values()
    ray_compat.keep_credentials()
    assert variables()
    assert "planted" not in variables().values()
