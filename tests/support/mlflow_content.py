"""What an MLflow database holds, read from its tables."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def database(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return what is in an MLflow database: the runs that are not deleted, by their key."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(query: str, *values: str) -> list[sqlite3.Row]:
            return connection.execute(query, values).fetchall()

        found: dict[str, list[dict[str, Any]]] = {}
        for run in rows("select * from runs where lifecycle_stage = 'active'"):
            run_id = run["run_uuid"]
            tags = {
                r["key"]: r["value"] for r in rows("select * from tags where run_uuid = ?", run_id)
            }
            points = rows("select * from metrics where run_uuid = ?", run_id)
            data = rows(
                "select d.name, d.digest from inputs i join datasets d"
                " on d.dataset_uuid = i.source_id where i.destination_id = ?",
                run_id,
            )
            found.setdefault(tags["gatesearch.key"], []).append(
                {
                    "run_id": run_id,
                    "experiment": run["experiment_id"],
                    "name": run["name"],
                    "status": run["status"],
                    "started": run["start_time"],
                    "ended": run["end_time"],
                    "tags": tags,
                    "params": {
                        r["key"]: r["value"]
                        for r in rows("select * from params where run_uuid = ?", run_id)
                    },
                    "points": sorted(
                        (r["key"], r["step"], r["timestamp"], r["value"]) for r in points
                    ),
                    "data": [tuple(row) for row in data],
                }
            )
        return found


def comparable(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the same without what differs between two databases: run ids and experiment ids."""
    ids = {run["run_id"]: key for key, runs in found.items() for run in runs}
    return {
        key: [
            {name: value for name, value in run.items() if name not in ("run_id", "experiment")}
            | {"tags": {name: ids.get(text, text) for name, text in run["tags"].items()}}
            for run in runs
        ]
        for key, runs in sorted(found.items())
    }


def curve(run: dict[str, Any], metric: str) -> list[tuple[int, float]]:
    """Return (step, value) of one metric."""
    return [(step, value) for name, step, _, value in run["points"] if name == metric]
