"""What `relative` is worth in forecasting, over the built-in series.

    python tests/benchmarks/relative.py [--seeds 3]

For each task a GRU and an LSTM of one layer with 32 units are trained for 40 epochs (learning rate
0.005, batches of 32), with each seed, that read how far values lie from the last one (relative),
and that read the values. Printed: the median and the range of their mean absolute errors on the
test part, in the data's units, and those of naive forecasts.
"""

import argparse
import statistics
from pathlib import Path

import torch

from spaces.config import TrialConfig
from spaces.series import SERIES
from spaces.tasks import Series
from trainables.data.baselines import baselines
from trainables.data.sequences import Data
from trainables.data.tasks import load
from trainables.training.trainer import Training

CELLS = (("gru", "reset-after"), ("lstm", "standard"))
EPOCHS = 40


def errors(data: Data, seeds: int) -> list[float]:
    """Return the test MAE of each training."""
    found = []
    for family, gates in CELLS:
        config = TrialConfig(
            cell=family,
            gates=gates,
            depth=1,
            hidden_size=32,
            dropout=0.0,
            learning_rate=0.005,
            batch_size=32,
            max_epochs=EPOCHS,
        )
        for seed in range(seeds):
            training = Training(config, data, seed=seed)
            training.advance(EPOCHS)
            found.append(training.evaluate("test")["mae"])
    return found


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    torch.set_num_threads(1)
    for name in SERIES:
        told = []
        for relative in (True, False):
            data = load(Series.model_validate({"name": name, "relative": relative}), Path())
            found = errors(data, seeds)
            middle, low, high = statistics.median(found), min(found), max(found)
            told.append(f"{middle:.4g} ({low:.4g} to {high:.4g})")
        naive = ", ".join(f"{each.name} {each.test['mae']:.4g}" for each in baselines(data))
        print(f"{name}: relative {told[0]}, values {told[1]}; {naive}", flush=True)


if __name__ == "__main__":
    main()
