"""One search of tests/benchmarks/time_to_best.py: an LSTM on a symbolic string, until time is up.

    ours     what a job file gets that names neither sampler nor pruner; no control trials
    random   the same product, drawing at random, stopping no trial and knowing of no learning rate
    stock    ray.tune, OptunaSearch, ASHAScheduler and MLflowLoggerCallback, as their documentation
             has them, over torch's nn.LSTM

All three search the same space on the same data, on the Ray cluster at RAY_ADDRESS, and log to
MLflow in SQLite. The cell is an LSTM since torch trains that through its fast path: what is
compared is the search, not the engine. The stock model's weights start by the same rules as ours.

    python tests/benchmarks/time_to_best_search.py WAY SEED SECONDS FOLDER

SECONDS are slot-seconds: SLOTS times the time on the wall. Prints one JSON line: the number of
trials, and of every epoch when it ended, the seconds that it took and its validation value.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from search.job.spec import JobSpec
from search.run import session
from trainables.data.sequences import Data, Sequences

SLOTS = 1  #: trials at once, of one processor each
SYMBOLS = 4
JOB = """\
name: best
task: {{name: symbolic, complexity: 50, symbols: 4, seed: {seed}}}
arms: [lstm]
space:
  depth: {{low: 1, high: 2}}
  hidden_size: {{choices: [16, 32, 64]}}
  learning_rate: {{low: 1e-4, high: 1e-1, log: true}}
  dropout: {{low: 0.0, high: 0.5}}
  batch_size: {{choices: [16, 32, 64]}}
training: {{max_epochs: 27}}
search:
  worker_seconds: {seconds}
  {way}
  control_fraction: 0
  seed: {seed}
confirm: {{seeds: 0}}
resources: {{max_concurrent: {slots}}}
"""
WAYS = {
    "ours": "prior: literature",
    "random": "sampler: random\n  pruner: none\n  prior: none",
}

Epochs = list[tuple[float, float, float]]  #: when it ended (Unix time), its seconds, its value


def load(way: str, seed: int, seconds: float, folder: Path) -> tuple[JobSpec, Data]:
    """Write a job file of one of our product's ways to the folder; return the job and its data."""
    text = JOB.format(seed=seed, seconds=seconds, slots=SLOTS, way=WAYS[way])
    (folder / "job.yaml").write_text(text)
    return session.load(folder / "job.yaml")


def product(way: str, seed: int, seconds: float, folder: Path) -> tuple[int, Epochs]:
    """Run a job's search as `gatesearch run` does, without report and export; return its trials."""
    from search.journal.open import open_journal
    from search.results.read import read_results
    from search.run.driver import Driver
    from search.run.ray_runner import run_trials
    from search.tracking.mirror import start_mirror

    job, data = load(way, seed, seconds, folder)
    place = session.begin(job, data.info, folder / "job.yaml", folder / "runs")
    with open_journal(job, place) as journal:
        driver = Driver(job, data.info, journal)
        mirror = start_mirror(place, None, os.getpid())
        try:
            run_trials(driver, data, place).join()
        finally:
            mirror.stop()  # what it has not sent by now is not waited for
    found = read_results(place).search
    epochs = [(p.time / 1000, p.seconds, p.value) for record in found for p in record.curve]
    return len(found), epochs


class Predictor(nn.Module):
    """Stacked LSTM with a readout at every step."""

    def __init__(self, hidden_size: int, depth: int, dropout: float) -> None:
        super().__init__()
        between = dropout if depth > 1 else 0.0  # torch warns about dropout in a single layer
        self.rnn = nn.LSTM(SYMBOLS, hidden_size, depth, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, SYMBOLS)
        nn.init.xavier_uniform_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)
        with torch.no_grad():
            for name, tensor in self.rnn.named_parameters():
                draw = nn.init.xavier_uniform_ if "weight_ih" in name else nn.init.orthogonal_
                for number, gate in enumerate(tensor.chunk(4)):  # input, forget, cell, output
                    if "weight" in name:
                        draw(gate)
                    else:
                        gate.fill_(1.0 if name.startswith("bias_ih") and number == 1 else 0.0)

    def forward(self, x_NT: torch.Tensor) -> torch.Tensor:
        y_NTH, _ = self.rnn(nn.functional.one_hot(x_NT, SYMBOLS).float())
        return self.readout(self.dropout(y_NTH))


def windows(part: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and targets [N, T] of a split; targets beyond a window's end are -100."""
    found = torch.tensor(part.x).split(part.lengths.tolist())
    inputs = pad_sequence([window[:-1] for window in found], batch_first=True)
    targets = pad_sequence([window[1:] for window in found], batch_first=True, padding_value=-100)
    return inputs, targets


def train(config: dict[str, Any], data: Data) -> None:
    """Train one configuration, as a function of the user's for ray.tune."""
    from ray import tune

    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    (x, y), (x_val, y_val) = windows(data.train), windows(data.validation)
    model = Predictor(config["hidden_size"], config["depth"], config["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    for _ in range(config["epochs"]):
        began = time.perf_counter()
        model.train()
        for batch in torch.randperm(len(y)).split(config["batch_size"]):
            loss = nn.functional.cross_entropy(model(x[batch]).flatten(0, 1), y[batch].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            nats = nn.functional.cross_entropy(model(x_val).flatten(0, 1), y_val.flatten())
        bits = nats.item() / torch.log(torch.tensor(2.0)).item()
        seconds = time.perf_counter() - began
        tune.report({"bits": bits, "seconds": seconds, "ended": time.time()})


def stock(seed: int, seconds: float, folder: Path) -> tuple[int, Epochs]:
    """Run the stock stack until the first epoch's beginning is so many slot-seconds ago."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    epochs: Epochs = []
    trials = set()

    class TimeIsUp(tune.Stopper):
        """Ends the search, and takes down what is reported."""

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            trials.add(trial_id)
            epochs.append((result["ended"], result["seconds"], result["bits"]))
            return False

        def stop_all(self) -> bool:
            began = min((ended - took for ended, took, _ in epochs), default=float("inf"))
            return (time.time() - began) * SLOTS > seconds

    _, data = load("random", seed, seconds, folder)
    ray.init(log_to_driver=False)
    mlflow = MLflowLoggerCallback(f"sqlite:///{folder}/mlflow.db", experiment_name="stock")
    tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=data), {"cpu": 1}),
        param_space={
            "depth": tune.randint(1, 3),
            "hidden_size": tune.choice([16, 32, 64]),
            "learning_rate": tune.loguniform(1e-4, 1e-1),
            "dropout": tune.uniform(0.0, 0.5),
            "batch_size": tune.choice([16, 32, 64]),
            "epochs": 27,
            "seed": seed,
        },
        tune_config=tune.TuneConfig(
            metric="bits",
            mode="min",
            num_samples=-1,
            max_concurrent_trials=SLOTS,
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=27, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(folder / "results"),
            verbose=0,
            callbacks=[mlflow],
            stop=TimeIsUp(),
        ),
    ).fit()
    ray.shutdown()
    return len(trials), epochs


def main() -> None:
    way, seed, seconds, folder = sys.argv[1:]
    if way == "stock":
        trials, epochs = stock(int(seed), float(seconds), Path(folder))
    else:
        trials, epochs = product(way, int(seed), float(seconds), Path(folder))
    print(json.dumps({"trials": trials, "epochs": epochs}))


if __name__ == "__main__":
    main()
