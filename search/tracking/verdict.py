"""The verdict of a finished job as MLflow shows it, from verdict.json in the job's folder."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.job.folder import VERDICT
from trainables.files import is_inside


@dataclass(frozen=True)
class ToldVerdict:
    """What the parent run says of a verdict."""

    kind: str
    winner: str  #: the one best arm; empty where there is none
    sentence: str


def told_verdict(folder: Path) -> ToldVerdict | None:
    """Return what a job's folder says; None where it has no verdict, or one that cannot be read."""
    path = folder / VERDICT
    if not is_inside(path, folder):
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        plain = json.loads(path.read_text(encoding="utf-8"))
        kind, best = str(plain["kind"]), list(plain["best"])
        winner = str(best[0]) if kind == "decided" and len(best) == 1 else ""
        return ToldVerdict(kind, winner, str(plain["sentence"]))
    return None
