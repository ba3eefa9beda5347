"""The search of a careful user without gatesearch: ray.tune, OptunaSearch, ASHA, MLflow callback.

The yardstick for our own speed: nn.LSTM and nn.GRU on JapaneseVowels with the splits of our task,
one CPU a trial. It follows the libraries' documentation and leaves out what would only slow it
down (checkpoints, Tune's progress output). Prints one JSON line: seconds from ray.init to the end
of the search, the best validation accuracy of any epoch, trials and epochs trained.

    python tests/benchmarks/stock_search.py [--trials 24] [--epochs 27] [--cpus 2] [--seed 0]
"""

import argparse
import json
import os
import secrets
import tempfile
import time
from pathlib import Path

# before Ray is imported: a cluster that only this process can reach, its token in no file
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from spaces.tasks import JapaneseVowels
from trainables.data.sequences import Data, Sequences
from trainables.data.tasks import load


class Classifier(nn.Module):
    """Stacked LSTM or GRU; the last layer's last state is read out."""

    def __init__(self, cell: str, hidden_size: int, depth: int, dropout: float) -> None:
        super().__init__()
        layers = {"lstm": nn.LSTM, "gru": nn.GRU}[cell]
        between = dropout if depth > 1 else 0.0  # torch warns about dropout in a single layer
        self.rnn = layers(12, hidden_size, depth, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden_size, 9)

    def forward(self, x_NTF: torch.Tensor, lengths_N: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x_NTF, lengths_N, batch_first=True, enforce_sorted=False)
        _, state = self.rnn(packed)
        h_LNH = state[0] if isinstance(state, tuple) else state
        return self.readout(self.dropout(h_LNH[-1]))


def tensors(part: Sequences) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    lengths = torch.tensor(part.lengths)
    sequences = torch.tensor(part.x).split(lengths.tolist())
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(part.y)


def train(config: dict, data: Data) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    x, lengths, y = tensors(data.train)
    x_val, lengths_val, y_val = tensors(data.validation)
    model = Classifier(*(config[key] for key in ("cell", "hidden_size", "depth", "dropout")))
    optimizer = torch.optim.Adam(model.parameters(), lr=config["learning_rate"])
    for _ in range(config["epochs"]):
        model.train()
        total = 0.0
        for batch in torch.randperm(len(y)).split(32):
            loss = nn.functional.cross_entropy(model(x[batch], lengths[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(batch)
        model.eval()
        with torch.no_grad():
            right = model(x_val, lengths_val).argmax(dim=1) == y_val
        tune.report({"accuracy": right.float().mean().item(), "train_loss": total / len(y)})


def search(folder: Path, trials: int, epochs: int, cpus: int, seed: int) -> tune.ResultGrid:
    data = load(JapaneseVowels(name="japanese-vowels"), Path())
    mlflow = MLflowLoggerCallback(f"sqlite:///{folder}/mlflow.db", experiment_name="stock")
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=data), {"cpu": 1}),
        param_space={
            "cell": tune.choice(["lstm", "gru"]),
            "depth": tune.randint(1, 4),
            "hidden_size": tune.choice([16, 32, 64]),
            "learning_rate": tune.loguniform(1e-4, 3e-2),
            "dropout": tune.uniform(0.0, 0.5),
            "epochs": epochs,
            "seed": seed,
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=trials,
            max_concurrent_trials=cpus,
            search_alg=OptunaSearch(seed=seed),
            scheduler=ASHAScheduler(max_t=epochs, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(folder / "results"),
            verbose=0,
            callbacks=[mlflow],
        ),
    )
    return tuner.fit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option, default in (("trials", 24), ("epochs", 27), ("cpus", 2), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stock-", ignore_cleanup_errors=True) as name:
        started = time.perf_counter()
        ray.init(
            address="local",
            num_cpus=asked.cpus,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=f"{name}/ray",
        )
        try:
            results = search(Path(name), asked.trials, asked.epochs, asked.cpus, asked.seed)
            seconds = time.perf_counter() - started
        finally:
            ray.shutdown()
    best = results.get_best_result(scope="all").metrics_dataframe["accuracy"].max()
    print(
        json.dumps(
            {
                "seconds": round(seconds, 1),
                "best_accuracy": float(best),
                "trials": len(results) - results.num_errors,
                "epochs": sum(result.metrics["training_iteration"] for result in results),
            }
        )
    )


if __name__ == "__main__":
    main()
