"""What a trial costs beside its training: empty trials of ten reports each, three ways in one run.

    ours    everything on: journal, studies with TPE and successive halving, MLflow mirror
    raw     ray.tune alone: a class trainable, reused actors, no Optuna, no logging
    stock   ray.tune with OptunaSearch, ASHA and MLflowLoggerCallback, as its documentation has it

    python tests/benchmarks/overhead.py                 the three, and their ratios
    python tests/benchmarks/overhead.py --many 10000    ours in one job, and raw with a fifth of it:
                                                        time per trial and memory as they grow

Prints JSON lines. Milliseconds per trial are marginal: from a fifth of the trials on, so that Ray's
and the workers' start does not count. cpu_ms is the driver process's own time, which says more than
the wall's on a busy machine. Run it on a quiet one.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

# before Ray is imported: a cluster that only this process can reach, its token in no file
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
from ray import tune

REPORTS = 10
JOB = """\
name: overhead
task: {{name: japanese-vowels}}
arms: [lstm, gru]
space:
  depth: {{low: 1, high: 3}}
  hidden_size: {{low: 8, high: 256, log: true}}
  learning_rate: {{low: 1e-4, high: 3e-2, log: true}}
  dropout: {{low: 0.0, high: 0.5}}
training: {{max_epochs: {reports}}}
search: {{trials: {trials}, pruner: successive-halving}}
confirm: {{seeds: 0}}
resources: {{max_concurrent: {slots}}}
"""


class Empty(tune.Trainable):
    """Stands in for trainables.worker.tune.Worker: takes the same trials and trains nothing.

    All trials have the same curve, so that none is pruned: ten reports each.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], data: Any, checkpoints: str, threads: int, packed: bool
    ) -> None:
        self.take(config["work"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.take(new_config["work"])
        return True

    def take(self, work: list[dict[str, Any]], dropped: Sequence[str] = ()) -> None:
        if work:
            (self._work,), self._epoch = work, 0

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        point = {
            "epoch": self._epoch,
            "train_loss": 1.0,
            "value": self._epoch / 1000,
            "seconds": 1e-6,
            "time": time.time_ns() // 1_000_000,
            "metrics": {"accuracy": 0.5, "loss": 1.0},
        }
        report = {"key": self._work["key"], "generation": self._work["generation"]}
        return {"report": [{**report, "epochs": [point], "parameters": 1000}]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


class RawEmpty(tune.Trainable):
    """The least that ray.tune can be given."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"value": 0.5, "done": self.training_iteration + 1 >= REPORTS}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


class Counted(tune.Callback):
    """Counts the trials that are done."""

    def __init__(self) -> None:
        self.done = 0

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.done += 1


def watch(done: Callable[[], int], run: Callable[[], None]) -> list[tuple[int, float, float, int]]:
    """Run; return how many trials were done when, with this process's CPU time and memory."""
    process, stop = psutil.Process(), threading.Event()
    seen: list[tuple[int, float, float, int]] = []

    def look() -> None:
        while not stop.wait(0.25):
            number = done()
            if number and (not seen or number > seen[-1][0]):
                used = time.process_time()
                seen.append((number, time.perf_counter(), used, process.memory_info().rss))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        run()
    finally:
        stop.set()
        watcher.join()
    return seen


def ours(folder: Path, trials: int, slots: int) -> list[tuple[int, float, float, int]]:
    from search.journal.file import FileJournal
    from search.run import session
    from search.run.driver import Driver
    from search.run.ray_runner import run_trials
    from search.tracking.mirror import start_mirror

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        del os.environ[name]  # the runner makes its own
    text = JOB.format(reports=REPORTS, trials=trials // 2, slots=slots)
    (folder / "job.yaml").write_text(text)
    job, data = session.load(folder / "job.yaml")
    place = session.begin(job, data.info, folder / "job.yaml", folder / "runs")
    with FileJournal(place / "job.journal") as journal:
        driver = Driver(job, data.info, journal)
        mirror = start_mirror(place, None, os.getpid())

        def done() -> int:
            counts = [driver.budgets.states(arm.name) for arm in job.arms]
            return sum(count["complete"] for count in counts)

        seen = watch(done, lambda: run_trials(driver, data, place, worker=Empty).join())
        assert done() == trials // 2 * 2, "every trial completes"
        mirror.stop()  # what it has not sent by now is not waited for
    return seen


def raw(folder: Path, trials: int, slots: int) -> list[tuple[int, float, float, int]]:
    counted = Counted()
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1000000000"
    tuner = tune.Tuner(
        tune.with_resources(RawEmpty, {"cpu": 1}),
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            num_samples=trials, reuse_actors=True, max_concurrent_trials=slots
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0, callbacks=[counted]),
    )
    return watch(lambda: counted.done, lambda: started(folder, slots, tuner.fit))


def stock(folder: Path, trials: int, slots: int) -> list[tuple[int, float, float, int]]:
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    counted = Counted()
    mlflow = MLflowLoggerCallback(f"sqlite:///{folder}/mlflow.db", experiment_name="stock")

    def empty(config: dict[str, Any]) -> None:
        for number in range(REPORTS):
            tune.report({"value": 0.5 + number / 100})

    tuner = tune.Tuner(
        tune.with_resources(empty, {"cpu": 1}),
        param_space={
            "cell": tune.choice(["lstm", "gru"]),
            "depth": tune.randint(1, 4),
            "hidden_size": tune.randint(8, 257),
            "learning_rate": tune.loguniform(1e-4, 3e-2),
            "dropout": tune.uniform(0.0, 0.5),
        },
        tune_config=tune.TuneConfig(
            metric="value",
            mode="max",
            num_samples=trials,
            max_concurrent_trials=slots,
            search_alg=OptunaSearch(seed=0),
            scheduler=ASHAScheduler(max_t=REPORTS, grace_period=REPORTS),
        ),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0, callbacks=[counted, mlflow]),
    )
    return watch(lambda: counted.done, lambda: started(folder, slots, tuner.fit))


def started(folder: Path, slots: int, run: Callable[[], Any]) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=max(slots, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=f"{folder}/ray",
    )
    try:
        run()
    finally:
        ray.shutdown()


def summary(way: str, trials: int, seen: list[tuple[int, float, float, int]]) -> dict[str, Any]:
    """Return marginal costs: of all after the first fifth, and of the parts between."""
    parts = [at(seen, trials * k // 5) for k in range(1, 6)]
    (n, wall, cpu, rss), (m, wall_end, cpu_end, rss_end) = parts[0], parts[-1]
    slopes = [
        round((b[1] - a[1]) / (b[0] - a[0]) * 1000, 1) for a, b in pairwise(parts) if b[0] > a[0]
    ]
    return {
        "way": way,
        "trials": trials,
        "ms_per_trial": round((wall_end - wall) / (m - n) * 1000, 2),
        "cpu_ms_per_trial": round((cpu_end - cpu) / (m - n) * 1000, 2),
        "kb_per_trial": round((rss_end - rss) / 1024 / (m - n), 1),
        "ms_per_trial_by_fifths": slopes,
        "rss_mb": [round(part[3] / 2**20) for part in parts],
    }


def at(seen: list[tuple[int, float, float, int]], number: int) -> tuple[int, float, float, int]:
    """Return the first look at which so many were done, else the last one."""
    return next((look for look in seen if look[0] >= number), seen[-1])


def measured(way: str, trials: int, slots: int) -> dict[str, Any]:
    """Run one way in a process of its own and return its summary."""
    options = ["--way", way, "--trials", str(trials), "--slots", str(slots)]
    done = subprocess.run(
        [sys.executable, __file__, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # Tune finds no logs and says so for each trial
        text=True,
        check=True,
    )
    line = done.stdout.strip().splitlines()[-1]
    print(line, flush=True)
    found: dict[str, Any] = json.loads(line)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--stock-trials", type=int, default=20)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--many", type=int, metavar="N", help="one job of N trials instead")
    parser.add_argument("--way", choices=["ours", "raw", "stock"], help="one way, in this process")
    asked = parser.parse_args()
    if asked.way:
        ways = {"ours": ours, "raw": raw, "stock": stock}
        # Short, since Ray keeps its sockets in it and their paths are limited to 107 bytes.
        with tempfile.TemporaryDirectory(prefix="oh-", ignore_cleanup_errors=True) as name:
            seen = ways[asked.way](Path(name), asked.trials, asked.slots)
        print(json.dumps(summary(asked.way, asked.trials, seen)))
        return
    if asked.many:
        one, two = (
            measured("raw", asked.many // 5, asked.slots),
            measured("ours", asked.many, asked.slots),
        )
        slopes = two["ms_per_trial_by_fifths"]
        ratios = {
            "kb_per_trial_more_than_raw": round(two["kb_per_trial"] - one["kb_per_trial"], 1),
            "last_to_first": round(slopes[-1] / slopes[0], 2),
        }
        print(json.dumps(ratios))
        return
    found = {way: measured(way, asked.trials, asked.slots) for way in ("raw", "ours")}
    found["stock"] = measured("stock", asked.stock_trials, asked.slots)
    wall = {way: figures["ms_per_trial"] for way, figures in found.items()}
    ratios = {
        "ours_to_raw": round(wall["ours"] / wall["raw"], 2),
        "stock_to_ours": round(wall["stock"] / wall["ours"], 1),
    }
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
