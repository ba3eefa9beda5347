"""Forecasts of a search here beside those of neuralforecast's AutoLSTM and AutoGRU.

    python tests/benchmarks/forecast.py [--seconds 300] [--repeats 5] [--only airline,co2]

Needs the extra `bench-forecast`. On each of four built-in tasks both search for so many seconds, of
wall time, on this machine, again for every repeat with another seed, in turn:

    ours    the preparation that `gatesearch init` would write, then one job, arms lstm and gru, for
            the seconds that are left; the configuration that is best on validation data, as it was
            trained in the search
    theirs  AutoLSTM, then AutoGRU, half of the seconds each, their default spaces, in which they
            choose how windows are scaled, Optuna's TPE behind them; the one that is best on
            validation data, as they train it again after it

Both learn by absolute errors, read windows of equal length (that of the task, and a season more
where ours reads differences of one), learn from the first 60 % of each series and validate on the
next 20 %. They are scored on the same forecasts, one from every step of the last 20 % (a rolling
origin), by the mean absolute error in the units of the task. Where series have different lengths,
theirs validates on as many steps of each as 20 % are on average: it takes one number for all.

Prints a JSON line for each search and for each task a line of the medians, the spreads (standard
deviations over the repeats) and the naive forecasts' errors. Their budget ends after the trial that
is running then; what both took until a model could forecast stands in the lines.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.tasks import Series
from trainables.data.baselines import baselines
from trainables.data.splits import consecutive
from trainables.data.tasks import load
from trainables.data.tasks.series import read
from trainables.training.preparation import chosen, try_preparations

TASKS = ("airline", "sunspots", "co2", "m1-yearly")
SHARES = (0.6, 0.2, 0.2)
ATTEMPTS = 3
WORKERS = os.cpu_count() or 1
JOB = """
name: {name}
task: {task}
arms: [lstm, gru]
space:
  depth: {{low: 1, high: 2}}
  hidden_size: {{choices: [16, 32, 64, 128]}}
  learning_rate: {{low: 1.0e-4, high: 1.0e-1, log: true}}
  dropout: {{low: 0.0, high: 0.3}}
training: {{batch_size: 32, max_epochs: 81}}
search: {{worker_seconds: {worker_seconds}, wall_clock: {seconds}, seed: {seed}}}
confirm: {{seeds: 0}}
"""
Array = NDArray[Any]


def prepared(name: str) -> dict[str, Any]:
    """Return the task of a job file, with the preparation that is best on the validation part.

    The loss is that of their models: absolute errors, which the median has least.
    """
    plain = Series.model_validate({"name": name})
    found = chosen(try_preparations(plain, Path(), plain.season_steps))
    return {"name": name, "likelihood": "quantile", "quantiles": [0.5], **found.options}


@dataclass(frozen=True)
class Origins:
    """The rolling origins of the test part, of which both forecast."""

    known: Array  #: [n, steps] what a model may read before each
    truth: Array  #: [n, horizon] what follows

    @classmethod
    def of(cls, spec: Series) -> "Origins":
        """Return those of a task."""
        values = np.concatenate(read(spec.name))
        part = load(Series.model_validate({"name": spec.name}), Path()).test
        ends, steps = part.starts + part.lengths, spec.steps_read + (spec.difference or 0)
        known = values[ends[:, None] + np.arange(-steps, 0)]
        return cls(known, values[ends[:, None] + np.arange(spec.steps_ahead)])

    def error(self, forecasts: Array) -> float:
        """Return the mean absolute error of forecasts [n, horizon]."""
        return float(np.abs(forecasts - self.truth).mean())


def ours(task: str, seed: int, seconds: float, root: Path) -> dict[str, Any]:
    """Search with this product; return the test MAE of what is best on validation data."""
    import onnxruntime

    name, began = f"bench-{task}-{seed}", time.time()
    own = prepared(task)
    root.mkdir(parents=True, exist_ok=True)
    file, command = root / f"{name}.yaml", Path(sys.executable).with_name("gatesearch")
    left = max(1, round(seconds - (time.time() - began)))
    budget = {"seconds": left, "worker_seconds": WORKERS * left}
    file.write_text(JOB.format(name=name, task=json.dumps(own), seed=seed, **budget))
    for attempt in range(ATTEMPTS):  # Ray may not start on a machine that is busy; run resumes
        run = [command, "run", file, "--root", root]
        done = subprocess.run(run, stdout=subprocess.DEVNULL, check=attempt == ATTEMPTS - 1)
        if done.returncode == 0:
            break
    best = root / name / "best" / "model.onnx"
    whole = best.stat().st_mtime - began  # what follows is MLflow's, which theirs does without
    shown = [command, "results", name, "--json", "--root", root]
    trials = json.loads(subprocess.run(shown, check=True, capture_output=True).stdout)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(best.read_bytes(), options)
    origins = Origins.of(Series.model_validate(own))
    x = origins.known.astype(np.float32)[..., None]
    (found,) = session.run(None, {"x": x, "lengths": np.full(len(x), x.shape[1])})
    return {
        "mae": origins.error(found.reshape(origins.truth.shape)),
        "trials": sum(trial["state"] == "complete" for trial in trials),
        "seconds": round(whole, 1),
        "preparation": {key: own[key] for key in ("difference", "transform") if key in own},
    }


def theirs(task: str, seed: int, seconds: float) -> dict[str, Any]:
    """Search with neuralforecast; return the test MAE of what is best on validation data."""
    import logging

    import optuna
    import pandas as pd

    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    from neuralforecast import NeuralForecast
    from neuralforecast.auto import AutoGRU, AutoLSTM
    from neuralforecast.losses.pytorch import MAE

    spec = Series.model_validate(prepared(task))
    origins, values = Origins.of(spec), read(task)
    horizon, window = spec.steps_ahead, origins.known.shape[1]
    quiet = {"enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    fixed = {"input_size": window, "inference_input_size": window, "accelerator": "cpu", **quiet}
    stops = [consecutive(len(each), SHARES)[1].stop for each in values]
    known = pd.concat(_frame(f"s{at}", v[:stop]) for at, (v, stop) in _numbered(values, stops))
    validation = round(statistics.mean(SHARES[1] * len(each) for each in values))
    windows = pd.concat(
        _frame(f"w{at:06}", values_read) for at, values_read in enumerate(origins.known)
    )
    began, tried = time.perf_counter(), []
    for auto in (AutoLSTM, AutoGRU):
        default = auto.get_default_config(h=horizon, backend="optuna")
        model = auto(
            h=horizon,
            loss=MAE(),
            config=lambda trial, default=default: {**default(trial), **fixed},
            search_alg=optuna.samplers.TPESampler(seed=seed),
            num_samples=2000,
            time_budget=seconds / 2,
            backend="optuna",
        )
        forecaster = NeuralForecast(models=[model], freq=1)
        forecaster.fit(known, val_size=max(validation, horizon))
        study = forecaster.models[0].results
        predicted = forecaster.predict(df=windows)
        column = next(name for name in predicted if name not in ("unique_id", "ds"))
        found = predicted.sort_values(["unique_id", "ds"])[column].to_numpy().reshape(-1, horizon)
        tried.append((study.best_value, origins.error(found), len(study.trials)))
    whole = time.perf_counter() - began
    trials = sum(number for _, _, number in tried)
    return {"mae": min(tried)[1], "trials": trials, "seconds": round(whole, 1)}


def _numbered(values: list[list[float]], stops: list[int]) -> Any:
    return enumerate(zip(values, stops, strict=True))


def _frame(name: str, values: Any) -> Any:
    """Return a series as their tables have it."""
    import pandas as pd

    found = {"unique_id": name, "ds": np.arange(len(values)), "y": np.asarray(values, np.float64)}
    return pd.DataFrame(found)


def naive(task: str) -> dict[str, float]:
    """Return the test MAE of each forecast without a model."""
    data = load(Series.model_validate({"name": task}), Path())
    return {each.name: each.test["mae"] for each in baselines(data)}


def alone(way: str, task: str, seed: int, seconds: float, root: Path) -> dict[str, Any]:
    """Run one search in a process of its own; return what it printed last."""
    arguments = ["--way", way, "--only", task, "--seed", str(seed), "--seconds", str(seconds)]
    command = [sys.executable, __file__, *arguments, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way} failed on {task}:\n{(done.stdout + done.stderr)[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Search by both in turn, and print how far their forecasts are off."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="of each search")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default=",".join(TASKS), help="tasks, with commas between them")
    parser.add_argument("--root", type=Path, default=Path("build/bench-forecast"))
    parser.add_argument("--seed", type=int, default=0, help="of the first repeat")
    parser.add_argument("--way", choices=["ours", "theirs"], help="one search in this process")
    asked = parser.parse_args()
    if asked.way is not None:
        way = ours if asked.way == "ours" else theirs
        further = [asked.root] if asked.way == "ours" else []
        print(json.dumps(way(asked.only, asked.seed, asked.seconds, *further)))
        return
    for task in asked.only.split(","):
        errors: dict[str, list[float]] = {"ours": [], "theirs": []}
        for repeat in range(asked.repeats):
            for way in ("ours", "theirs") if repeat % 2 == 0 else ("theirs", "ours"):
                found = alone(way, task, asked.seed + repeat, asked.seconds, asked.root)
                errors[way].append(found["mae"])
                print(json.dumps({"task": task, "way": way, "repeat": repeat, **found}), flush=True)
        row: dict[str, Any] = {"task": task, "mae without a model": naive(task)}
        for way, values in errors.items():
            row[f"{way}, median"] = statistics.median(values)
            row[f"{way}, spread"] = statistics.stdev(values) if len(values) > 1 else None
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
