"""Every environment variable that gatesearch or its libraries read, and what a job makes of it.

VARIABLES is the list, which search/README.md shows. `prepare` checks and clears the environment of
a command that starts Ray, before anything is written.
"""

import os
import re
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from enum import StrEnum

from spaces.errors import InputError, Problem

STORAGE = "GATESEARCH_STORAGE"  #: names the database of a team's jobs
CONNECT_SECONDS = 10.0  #: that a cluster's head may take to accept a connection


class Use(StrEnum):
    """What becomes of a variable."""

    TAKEN = "taken as it is"
    CHECKED = "checked; refused where it cannot be used"
    SET = "set by gatesearch, whatever it was"
    DROPPED = "dropped where a job has a Ray of its own"


@dataclass(frozen=True)
class Variable:
    """An environment variable, or several whose names begin alike ("PG*")."""

    name: str
    reader: str  #: who reads it
    use: Use
    effect: str


VARIABLES = (
    Variable("GATESEARCH_CACHE", "gatesearch", Use.TAKEN, "folder of compiled cells"),
    Variable("GATESEARCH_ROOT", "gatesearch", Use.TAKEN, "folder of submitted jobs on a cluster"),
    Variable("GATESEARCH_SERVICE", "gatesearch", Use.TAKEN, "folder of what `up` has started"),
    Variable(
        STORAGE,
        "gatesearch",
        Use.CHECKED,
        "postgresql://user@host/database, where jobs are found by name that have no folder here; "
        "`run` does not read it",
    ),
    Variable(
        "GATESEARCH_TRACKING_URI",
        "gatesearch",
        Use.CHECKED,
        "MLflow server of jobs whose file names none: a cluster's own",
    ),
    Variable("HOME", "gatesearch, Ray", Use.TAKEN, "where ~ is; ~/.cache, ~/.ray/auth_token"),
    Variable("PATH", "gatesearch", Use.TAKEN, "of jobs of a service, behind gatesearch's own"),
    Variable("XDG_CACHE_HOME", "gatesearch", Use.TAKEN, "in place of ~/.cache"),
    Variable("XDG_STATE_HOME", "gatesearch", Use.TAKEN, "in place of ~/.local/state"),
    Variable(
        "TMPDIR",
        "gatesearch, Ray",
        Use.CHECKED,
        "folder of what lives as long as a job; /tmp or /dev/shm where it is too long for sockets",
    ),
    Variable(
        "RAY_ADDRESS",
        "gatesearch, Ray",
        Use.CHECKED,
        "run: HOST:PORT of a cluster's head, or auto; http(s)://… is of the Jobs API, which submit "
        "and its like use, and a job then runs on this machine",
    ),
    Variable("RAY_AUTH_MODE", "Ray", Use.TAKEN, "token: asks for a token; set on a Ray of its own"),
    Variable("RAY_AUTH_TOKEN", "gatesearch, Ray", Use.TAKEN, "a cluster's token; likewise"),
    Variable("RAY_AUTH_TOKEN_PATH", "gatesearch, Ray", Use.TAKEN, "file with a cluster's token"),
    Variable("RAY_RUNTIME_ENV_HOOK", "Ray", Use.DROPPED, "a function that changes workers"),
    Variable("RAY_JOB_CONFIG_JSON_ENV_VAR", "Ray", Use.DROPPED, "settings of a submitted job"),
    Variable("RAY_CLIENT_MODE", "Ray", Use.DROPPED, "talks to a cluster through a proxy"),
    Variable("RAY_NAMESPACE", "Ray", Use.DROPPED, "separates actors' names"),
    Variable("RAY_OVERRIDE_RESOURCES", "Ray", Use.DROPPED, "other CPUs and GPUs than there are"),
    Variable("RAY_OVERRIDE_LABELS", "Ray", Use.DROPPED, "other labels of the node"),
    Variable("RAY_REDIS_ADDRESS", "Ray", Use.DROPPED, "keeps a head's state elsewhere"),
    Variable("RAY_USE_TLS", "Ray", Use.DROPPED, "certificates between processes"),
    Variable("RAY_TMPDIR", "Ray", Use.DROPPED, "folder where a running cluster is looked for"),
    Variable("TUNE_RESULT_DIR", "Ray Tune", Use.DROPPED, "a former name, which Tune refuses"),
    Variable("RAY_AIR_LOCAL_CACHE_DIR", "Ray Tune", Use.DROPPED, "likewise"),
    Variable(
        "TUNE_*", "Ray Tune", Use.SET, "those of search/run/ray_settings.py; others are taken"
    ),
    Variable("RAY_*", "Ray", Use.SET, "those of search/run/ray_settings.py; others are taken"),
    Variable("PYTHONOPTIMIZE", "Python", Use.CHECKED, "at most 1: Ray needs its docstrings"),
    Variable("PYTHONWARNINGS", "Python", Use.SET, "the standard filters: warnings end no job"),
    Variable("PYTHONPATH", "Python", Use.CHECKED, "must not hide one of gatesearch's packages"),
    Variable("PYTHONSAFEPATH", "Python", Use.SET, "for MLflow's server, whose folder is the root"),
    Variable("PYTHONIOENCODING", "Python", Use.TAKEN, "of output; other characters become ?"),
    Variable("LANG, LC_*", "Python", Use.TAKEN, "likewise"),
    Variable("COLUMNS, TERM, NO_COLOR", "rich", Use.TAKEN, "width and colours of tables"),
    Variable("CUDA_VISIBLE_DEVICES", "torch, Ray", Use.TAKEN, "the GPUs that there are"),
    Variable("OMP_NUM_THREADS", "torch", Use.TAKEN, "a trial has cpus_per_trial threads even so"),
    Variable("PG*", "libpq", Use.TAKEN, "PGPASSWORD, PGPASSFILE …: the journal's server"),
    Variable("AWS_*", "boto3", Use.TAKEN, "credentials and endpoint of S3"),
    Variable("MLFLOW_TRACKING_*", "MLflow", Use.TAKEN, "credentials of the tracking server"),
    Variable("MLFLOW_*", "MLflow", Use.SET, "those of search/tracking/mlflow_compat.py"),
    Variable("HTTP_PROXY, HTTPS_PROXY, NO_PROXY", "requests, boto3", Use.TAKEN, "not for loopback"),
    Variable("CC", "triton", Use.TAKEN, "the C compiler of kernels for GPUs"),
    Variable(
        "TRITON_INTERPRET",
        "gatesearch, triton",
        Use.TAKEN,
        "1: what is for GPUs runs on the CPU, slowly, for tests",
    ),
)

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # an empty frame: length, type 4, flags, stream
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")


def joins_cluster(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a job runs on a cluster that is there already, not on a Ray of its own."""
    address = environ.get("RAY_ADDRESS", "").strip()
    return address not in ("", "local") and not _of_jobs_api(address)


def _of_jobs_api(address: str) -> bool:
    return re.match("https?://", address, re.IGNORECASE) is not None


def prepare(environ: MutableMapping[str, str] = os.environ) -> Iterator[str]:
    """Check and clear the environment of a command that starts Ray; yield notes for the user.

    Raises InputError for what cannot be used.
    """
    if sys.flags.optimize > 1:
        rule = "docstrings, which Ray reads, must not be stripped (PYTHONOPTIMIZE=2, python -OO)"
        raise InputError.of("PYTHONOPTIMIZE", rule, "unset it, or set it to 1")
    restore_warnings(environ)
    address = environ.get("RAY_ADDRESS", "").strip()
    if _of_jobs_api(address):
        del environ["RAY_ADDRESS"]
        yield (
            f"RAY_ADDRESS={address} is an address for `gatesearch submit`; this job runs on this "
            "machine"
        )
    elif not joins_cluster(environ):
        environ.pop("RAY_ADDRESS", None)
    elif address != "auto":
        _check_head(address, encrypted="RAY_USE_TLS" in environ)
    for variable in VARIABLES:
        refused_by_tune = variable.reader == "Ray Tune"
        if variable.use is Use.DROPPED and (refused_by_tune or "RAY_ADDRESS" not in environ):
            environ.pop(variable.name, None)


def restore_warnings(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have warnings treated as Python does by itself: PYTHONWARNINGS=error ends libraries."""
    if environ.pop("PYTHONWARNINGS", None) is None:
        return
    warnings.resetwarnings()
    quiet = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    for category in quiet:
        warnings.simplefilter("ignore", category)


def address_refused(address: str, reason: str) -> InputError:
    """Return the error for a cluster that cannot be joined."""
    rule = (
        "it must be HOST:PORT of the head of a running Ray cluster that this machine is part of, "
        f"or auto; {address} is not: {reason}"
    )
    remedy = (
        "correct it, or RAY_AUTH_TOKEN_PATH; unset it to run on this machine; or send the job to a "
        "cluster with `gatesearch submit`"
    )
    return InputError([Problem("RAY_ADDRESS", rule, remedy)])


def _check_head(address: str, *, encrypted: bool) -> None:
    """Raise InputError unless something that may be a head answers at an address.

    Ray waits for many minutes for one that does not. A head speaks gRPC, and so begins with a
    SETTINGS frame of HTTP/2 (RFC 9113, section 3.4).
    """
    match = _HOST_AND_PORT.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise address_refused(address, "it has another form")
    try:
        place = (match["host"].strip("[]"), int(match["port"]))
        with socket.create_connection(place, CONNECT_SECONDS) as connection:
            connection.sendall(b"" if encrypted else _HTTP2_PREFACE + _SETTINGS)
            answer = _SETTINGS if encrypted else connection.recv(len(_SETTINGS))
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that no host can have
        raise address_refused(address, getattr(error, "strerror", None) or str(error)) from error
    if answer[3:4] != _SETTINGS[3:4]:
        raise address_refused(address, "what answers there is no head of Ray's")
