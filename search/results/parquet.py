"""results.parquet: one row a trial, for pandas, DuckDB and the like."""

from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from search.journal.trial import TrialResult
from spaces.config import TrialConfig
from trainables.files import replacing

if TYPE_CHECKING:
    import pyarrow

    from search.results.read import Results


def write_parquet(results: "Results", path: Path) -> None:
    """Write all trials of both phases, whole or not at all.

    Columns: those of a TrialResult; its configuration as config_<field>; test metrics as
    test_<metric>, those on training data as training_<metric>; scores as the name of their folder;
    the curve as a list of structs with the validation metrics inside. Columns and types depend on
    the task's metrics alone, so that files of unfinished and empty jobs fit those of finished ones.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metrics = [metric.name for metric in results.info.metrics]
    rows = [_row(trial, metrics) for trial in results.trials]
    table = pa.Table.from_pylist(rows, schema=_schema(metrics))
    facts = {"job": results.job.name, "task": results.info.name, "data": results.info.fingerprint}
    with replacing(path) as draft:
        pq.write_table(table.replace_schema_metadata(facts), draft)


def _schema(metrics: list[str]) -> "pyarrow.Schema":
    import pyarrow as pa

    figures = pa.struct([(name, pa.float64()) for name in metrics])
    point = pa.struct(
        [
            ("epoch", pa.int64()),
            ("train_loss", pa.float64()),
            ("value", pa.float64()),
            ("seconds", pa.float64()),
            ("time", pa.int64()),
            ("metrics", figures),
        ]
    )
    columns = {
        "phase": pa.string(),
        "arm": pa.string(),
        "number": pa.int64(),
        "state": pa.string(),
        "control": pa.bool_(),
        "metric": pa.string(),
        "direction": pa.string(),
        "value": pa.float64(),
        **{f"test_{name}": pa.float64() for name in metrics},
        **{f"training_{name}": pa.float64() for name in metrics},
        "gap": pa.float64(),
        "epochs": pa.int64(),
        "parameters": pa.int64(),
        "train_seconds": pa.float64(),
        "path": pa.string(),
        "latency_ms": pa.float64(),
        "latency_path": pa.string(),
        "seed": pa.int64(),
        "finalist": pa.int64(),
        "replicate": pa.int64(),
        "split": pa.int64(),
        "candidate": pa.int64(),
        "scores": pa.string(),
        "reason": pa.string(),
        "checkpoint": pa.string(),
        "mlflow_run_id": pa.string(),
        **{f"config_{name}": _config_type(name) for name in TrialConfig.model_fields},
        "curve": pa.list_(point),
    }
    return pa.schema(list(columns.items()))


def _config_type(name: str) -> "pyarrow.DataType":
    import pyarrow as pa

    types = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    annotation: Any = TrialConfig.model_fields[name].annotation
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    return types.get(kinds[0], pa.string())


def _row(trial: TrialResult, metrics: list[str]) -> dict[str, Any]:
    row = trial.as_dict()
    config, test, fit = row.pop("config"), row.pop("test") or {}, row.pop("training") or {}
    row["scores"] = (row["scores"] or {}).get("name")
    row |= {f"config_{name}": config.get(name) for name in TrialConfig.model_fields}
    row |= {f"test_{name}": test.get(name) for name in metrics}
    row |= {f"training_{name}": fit.get(name) for name in metrics}
    row["gap"] = trial.gap
    return row
