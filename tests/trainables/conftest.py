"""Small data sets that the tests of training share."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from spaces.kinds import METRICS, TaskKind
from spaces.tasks import TaskInfo
from trainables.data.sequences import Data, Sequences, fingerprint

MakeData = Callable[..., Data]


def _sequences(
    kind: TaskKind, count: int, shortest: int, longest: int, draw: np.random.Generator
) -> Sequences:
    lengths = draw.integers(shortest, longest + 1, count)
    steps = int(lengths.sum())
    if kind == "next-token":  # each symbol follows from the one before
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        x = (np.arange(steps) - np.repeat(starts, lengths)) % 5
        return Sequences(x.astype(np.int64), lengths.astype(np.int64))
    if kind == "next-step":
        frames = (draw.random((steps, 3)) < 0.3).astype(np.float32)
        return Sequences(frames, lengths.astype(np.int64))
    x = draw.normal(size=(steps, 3)).astype(np.float32)
    ends = np.cumsum(lengths) - 1
    if kind == "tagging":
        return Sequences(x, lengths.astype(np.int64), (x[:, 0] > 0).astype(np.int64), stepwise=True)
    if kind == "forecasting":
        y = np.stack([x[ends, 0], x[ends, 1]], axis=1)
        return Sequences(x, lengths.astype(np.int64), y)
    if kind == "multi-label":
        return Sequences(x, lengths.astype(np.int64), (x[ends] > 0).astype(np.float32))
    if kind == "regression":
        return Sequences(x, lengths.astype(np.int64), x[ends, 0].astype(np.float32))
    return Sequences(x, lengths.astype(np.int64), (x[ends, 0] > 0).astype(np.int64))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Train with one thread, as workers do: on a busy machine several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_data() -> MakeData:
    """Return a function that makes a tiny ragged data set of the given kind, read-only."""

    def make(
        kind: TaskKind = "classification",
        count: int = 24,
        longest: int = 9,
        shortest: int = 2,
        metric: str | None = None,
    ) -> Data:
        draw = np.random.default_rng(5)
        splits = [_sequences(kind, count, shortest, longest, draw) for _ in range(3)]
        for split in splits:
            for array in (split.x, split.lengths, split.y):
                if array is not None:
                    array.setflags(write=False)
        sizes = {"classification": (3, 2), "tagging": (3, 2), "regression": (3, 1)}
        sizes["forecasting"] = (3, 2)
        inputs, outputs = sizes.get(kind, (5, 5) if kind == "next-token" else (3, 3))
        decisive = next((m for m in METRICS[kind] if m.name == metric), METRICS[kind][0])
        info = TaskInfo("tiny", kind, inputs, outputs, longest, decisive)
        if decisive.name == "mase":
            errors = np.linspace(0.5, 2, count, dtype=np.float32)
            splits = [replace(split, naive_error=errors) for split in splits]
        return Data(replace(info, fingerprint=fingerprint(*splits)), *splits)

    return make
