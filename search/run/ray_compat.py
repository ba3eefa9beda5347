"""What is private or undocumented in Ray and Ray Tune and is used all the same, in one place.

tests/search/run/test_ray_compat.py says for each what breaks where another version lacks it.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial

from search.journal.reason import with_cause_first
from spaces.errors import GatesearchError

#: Ray's texts for a worker that was lost with its node; "unavailable" is one whose process nobody
#: has reported dead, as a living node would have.
NODE_DEATH = (
    "node has died",
    "node was terminated",
    "node died",
    "preempted",
    "is temporarily unavailable",
)

#: Ray's text where a node of its own is not up after 30 s, which no setting of it changes.
SLOW_START = "timed out during startup"
STARTS = 4  #: that are tried on a busy machine


def start_own(options: dict[str, Any]) -> None:
    """Start a Ray of this process's own, again where the machine is too busy for Ray's patience.

    options: of ray.init. What a start that failed has left ends with this process. Raises
    GatesearchError where none succeeds.
    """
    import ray

    for left in reversed(range(STARTS)):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises no class of its own here
            if SLOW_START not in str(error):
                raise
            ray.shutdown()
            if not left:
                rule = f"Ray must start within 30 s; in {STARTS} tries it did not"
                remedy = "resume the job when the machine does less"
                raise GatesearchError(f"{rule}\n  remedy: {remedy}") from error


def is_node_death(reason: str) -> bool:
    """Return whether a worker's death is that of its whole node."""
    return any(sign in reason for sign in NODE_DEATH)


def actor_of(trial: Trial) -> Any:
    """Return the actor that a trial of Tune's runs in, or None as long as it has none."""
    return trial.temporary_state.ray_actor


def error_of(trial: Trial) -> str:
    """Return the text of the error that ended a trial of Tune's, its cause first, or ""."""
    if not trial.error_file:
        return ""
    text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    return with_cause_first(text.partition("\n")[2])  # behind the count of failures


def dead_processes() -> list[str]:
    """Return which processes of the Ray that this process started are dead, if any.

    Ray notices the loss of its own node late, and then ends the driver without a message.
    """
    import ray

    node: Any = ray._private.worker._global_node
    if node is None:
        return []
    return [name for name, _ in node.dead_processes() if name in ("raylet", "gcs_server")]


def use_prestarted_workers() -> None:
    """Let Tune's actors run in the workers that this job's own cluster has started already.

    Tune asks for workers with a few variables of the driver's environment, and Ray starts others
    for them, though those on this machine have its environment anyway. Where another version has
    no such tables, workers start later, and nothing else changes.
    """
    with suppress(ImportError, AttributeError):
        from ray.tune.execution import class_cache

        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()


def keep_credentials() -> None:
    """Have Tune send no credentials of S3 to workers: nodes have their own (deploy/README.md).

    It would put them into the workers' runtime environment, which Ray writes into its logs and
    shows to everyone with access to the cluster.
    """
    from ray.tune.execution import class_cache

    sent = class_cache.ENV_VARS_TO_PROPAGATE
    sent.difference_update({name for name in sent if name.startswith("AWS_")})
