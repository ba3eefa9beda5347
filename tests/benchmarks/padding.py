"""How much of what padded paths compute is padding, with `training: {buckets: true}` and without.

    python tests/benchmarks/padding.py [--size 32]

CPUs compute no padding for recurrent cells; the transformer, ONNX and GPUs do. For each task with
sequences of different lengths, of epochs of training and of a validation: the share of steps in
padded batches that are padding, and the same as it is on a GPU, where batches are padded further to
few different lengths (trainables.training.stacked_data), for a cohort of four trainings with seeds
of their own, each in an epoch of its own.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spaces.tasks import TASKS
from trainables.data import tasks
from trainables.data.batches import Batches
from trainables.data.sequences import Data, Dealing, Sequences
from trainables.training.stacked_data import StackedData

EPOCHS, MEMBERS = 5, 4


def ragged() -> Iterator[tuple[str, Data]]:
    """Yield built-in tasks whose sequences differ in length, and own ones that differ more."""
    for name, section in TASKS.items():
        if section.model_json_schema().get("required", ["name"]) != ["name"]:
            continue
        data = tasks.load(section(name=name), Path())
        if len(np.unique(data.train.lengths)) > 1:
            yield name, data
    rng = np.random.default_rng(0)
    info = tasks.load(TASKS["japanese-vowels"](name="japanese-vowels"), Path()).info
    drawn = {
        "uniform 20 to 400": rng.integers(20, 401, 2_000),
        "log-normal, median 60": np.maximum(2, rng.lognormal(4.1, 0.8, 2_000).astype(np.int64)),
    }
    for name, lengths in drawn.items():
        x = np.zeros((lengths.sum(), info.inputs), np.float32)
        part = Sequences(x, lengths, rng.integers(0, 9, len(lengths)))
        yield name, Data(info, part, part, part, dealing=Dealing())


def share(batches: Iterable[tuple[NDArray[np.int64], int]]) -> float:
    """Return the share of padding, from each batch's lengths and the steps it is padded to."""
    read, padded = 0, 0
    for lengths, steps in batches:
        read += int(lengths.sum())
        padded += steps * len(lengths)
    return 1 - read / padded


def of_training(data: Data, size: int, *, buckets: bool) -> float:
    """Return the share in batches of training that are padded to their longest sequence."""
    batches = Batches(data.train, data.info.kind, buckets=buckets)
    return share(
        (batches.lengths(chosen), int(batches.lengths(chosen)[0]))
        for epoch in range(1, EPOCHS + 1)
        for chosen in batches.shuffled_choices(size, 0, epoch)
    )


def of_evaluation(data: Data, *, buckets: bool) -> float:
    """Return the share in batches of a validation."""
    batches = Batches(data.validation, data.info.kind, buckets=buckets)
    chosen = batches.ordered_choices()
    return share((batches.lengths(each), int(batches.lengths(each)[0])) for each in chosen)


def on_card(data: Data, size: int, *, buckets: bool) -> float:
    """Return the share in launches of a cohort on a card."""
    there = StackedData((data.train,), data.info.kind, torch.device("cpu"))
    batches = Batches(data.train, data.info.kind, buckets=buckets)

    def launches() -> Iterator[tuple[NDArray[np.int64], int]]:
        members = (batches.shuffled_choices(size, m, 1 + 7 * m) for m in range(MEMBERS))
        for together in zip(*members, strict=True):
            chosen = np.concatenate(together)
            yield batches.lengths(chosen), there.steps(chosen, buckets=buckets)

    return share(launches())


def main() -> None:
    """Print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="sequences in a batch of training")
    size = parser.parse_args().size
    print(f"{'share of padding, without and with buckets':44} training   validation   on a GPU")
    for name, data in ragged():
        figures = [
            f"{100 * measure(buckets=False):3.0f} {100 * measure(buckets=True):4.1f} %"
            for measure in (
                lambda *, buckets, data=data: of_training(data, size, buckets=buckets),
                lambda *, buckets, data=data: of_evaluation(data, buckets=buckets),
                lambda *, buckets, data=data: on_card(data, size, buckets=buckets),
            )
        ]
        low, high = data.train.lengths.min(), data.train.lengths.max()
        told = f"{name} ({len(data.train):,} sequences of {low} to {high})"
        print(f"{told:44} " + "   ".join(figures), flush=True)


if __name__ == "__main__":
    main()
