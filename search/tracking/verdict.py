"""The verdict of a finished job as MLflow shows it, from verdict.json in the job's folder."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.job.folder import VERDICT
from trainables.files import is_inside

_MOST_ROWS = 12  #: a note has room for no more of them


@dataclass(frozen=True)
class ToldVerdict:
    """What the parent run says of a verdict."""

    kind: str
    winner: str  #: the one best arm; empty where there is none
    sentence: str
    table: str = (
        ""  #: its first pairs in Markdown, with their intervals; empty where there are none
    )
    figures: dict[str, float] = field(default_factory=dict)  #: the same, by the metric's name


def told_verdict(folder: Path) -> ToldVerdict | None:
    """Return what a job's folder says; None where it has no verdict, or one that cannot be read."""
    path = folder / VERDICT
    if not is_inside(path, folder):
        return None
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        plain = json.loads(path.read_text(encoding="utf-8"))
        kind, best = str(plain["kind"]), list(plain["best"])
        winner = str(best[0]) if kind == "decided" and len(best) == 1 else ""
        pairs = [] if kind == "none" else list(plain.get("pairs", ()))[:_MOST_ROWS]
        return ToldVerdict(kind, winner, str(plain["sentence"]), _table(pairs), _figures(pairs))
    return None


def _figures(pairs: list[dict[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for pair in pairs:
        of = f"{pair['first']} over {pair['second']}"
        for name, value, interval in (
            ("win_probability", pair["probability"], pair["interval"]),
            ("difference", pair["difference"], pair["difference_interval"]),
        ):
            values = zip(("", "_low", "_high"), (value, *interval), strict=True)
            found |= {f"{name}{bound}/{of}": each for bound, each in values if each is not None}
    return found


def _table(pairs: list[dict[str, Any]]) -> str:
    """Return how often an arm wins, and by how much, for each pair of arms."""
    if not pairs:
        return ""
    head = (
        "pair",
        "first one wins",
        "interval",
        "mean difference",
        "interval",
        "pairs",
        "decision",
    )
    rows = [head, ("---",) * len(head), *map(_row, pairs)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(pair: dict[str, Any]) -> tuple[str, ...]:
    low, high = pair["interval"]
    least, most = pair["difference_interval"]
    decision = pair["decision"] if pair["winner"] is None else f"{pair['winner']} better"
    return (
        f"{pair['first']} − {pair['second']}",
        f"{100 * pair['probability']:.0f} %",
        f"{100 * low:.0f} to {100 * high:.0f} %",
        "–" if pair["difference"] is None else f"{pair['difference']:+.4g}",
        "–" if least is None else f"{least:+.4g} to {most:+.4g}",
        str(pair["pairs"]),
        str(decision),
    )
