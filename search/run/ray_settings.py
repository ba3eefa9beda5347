"""What Ray and Ray Tune read from the environment, set before either is imported. Knows no Ray.

Most of these variables are undocumented. tests/search/run/test_ray_compat.py says for each that
Ray still reads it.
"""

import os
import secrets
from typing import Any

#: Tune: no snapshots that nobody reads, no loggers, no handler of its own for Ctrl-C (the journal
#: is complete at any moment). Workers stay in the folder that they start in.
SETTINGS = {
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


#: How many workers Tune asks for at a time beyond what the cluster holds; one without it.
ASKED_FOR = "TUNE_MAX_PENDING_TRIALS_PG", "16"


def set_settings(*, may_grow: bool = False) -> None:
    """Set all of them, whatever the environment says, but the consent to statistics.

    may_grow: whether a cluster is joined, which may get more nodes.
    """
    if may_grow:
        os.environ.update([ASKED_FOR])
    consent = os.environ.get("RAY_USAGE_STATS_ENABLED", SETTINGS["RAY_USAGE_STATS_ENABLED"])
    os.environ.update(SETTINGS | {"RAY_USAGE_STATS_ENABLED": consent})


def set_for_own_cluster(workers: int) -> None:
    """Set what the processes of a cluster that this process starts find in their environment.

    It listens on the loopback interface alone and asks for a token that only its own processes
    see. So many workers start at once, and import what they train with.
    """
    os.environ.update(
        {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or all interfaces are listened on
            "RAY_num_prestart_python_workers": str(workers),
            "RAY_preload_python_modules": "trainables.worker.tune",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # or `uv run` has workers install packages
        }
    )


def own_cluster_options(
    cores: int, temporary_folder: str, object_store_bytes: int
) -> dict[str, Any]:
    """Return the arguments of ray.init that start a cluster of this process's own."""
    return {
        "address": "local",
        "num_cpus": cores,  # Ray would count those that this process may not use, too
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": temporary_folder,
        "object_store_memory": object_store_bytes,
    }
