"""Every cell, forward and backward, against nn.LSTM, nn.GRU and torchrecurrent.

    python tests/benchmarks/cells.py [--out bench-cells.json] [--rounds 30] [--shapes 3] [--only x]

One thread. All are measured in one run, one after the other, in a new order each round; an untimed
pass right before each warms it up. A figure is the median of CPU time: on one thread that is wall
time on an idle machine, and it stays right on a busy one. The input requires its gradient, as it
does above another layer. Ratios above 1: ours is faster.

A row's work is its multiply-adds over those of the standard LSTM; a square cell has its input
projection counted and timed. "work x ratio" of at least 1 means that a cell is at least as fast as
nn.LSTM for its arithmetic. Where it is not, the row states the cause, and how many of its
milliseconds are spent in compiled code.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables import cells
from trainables.cells import Variant
from trainables.engine import Program
from trainables.layers import scan
from trainables.layers.layer import Layer
from trainables.layers.transformer import linear

SHAPES = [(64, 32, 16, 32), (64, 32, 64, 128), (128, 64, 128, 256)]
#: Class of torchrecurrent that is the same cell, or the nearest that it has.
PEERS = {
    "rnn-indrnn": "IndRNN",
    "lstm-peephole": "PeepholeLSTM",
    "lstm-janet": "JANET",
    "gru-mut1": "MUT1",
    "gru-mut2": "MUT2",
    "gru-mut3": "MUT3",
    "gru-light": "LiGRU",
    "mgu-mgu": "MGU",
    "ugrnn-standard": "UGRNN",
    "ugrnn-intersection": "IntersectionRNN",
    "ran-standard": "RAN",
}
#: Why a row may not reach nn.LSTM's speed for its arithmetic, by name of the variant.
CAUSES = {
    "lstm-layer-norm": "saves 14 values a unit where the standard LSTM saves 6, and normalises "
    "three times over all units, each way",
    "gru-light": "batch norm needs the covariance of the inputs and its gradient",
}
OTHERWISE = "gates and memory traffic are a larger share of it than of the standard LSTM"


def work(variant: Variant, inputs: int, hidden: int) -> float:
    """Return a layer's multiply-adds over those of the standard LSTM."""
    projection = inputs * hidden if variant.square else 0
    shapes = variant.shapes(hidden if variant.square else inputs, hidden)
    matrices = sum(shapes[name][0] * shapes[name][1] for name in ("W", "R", "P") if name in shapes)
    return (projection + matrices) / (4 * hidden * (inputs + hidden))


def ours(variant: Variant, shape: tuple[int, int, int, int]) -> Callable[[], None]:
    """Return one forward and backward pass of a cell."""
    T, B, inputs, hidden = shape
    draw = torch.Generator().manual_seed(0)
    layer = Layer(variant, hidden if variant.square else inputs, hidden, draw)
    project = linear(inputs, hidden, draw) if variant.square else None
    x_TBI = torch.randn(T, B, inputs, generator=draw, requires_grad=True)
    lengths = torch.full((B,), T)

    def run() -> None:
        y_TBH = layer(x_TBI if project is None else project(x_TBI), lengths)
        y_TBH.sum().backward()

    return run


def theirs(module: torch.nn.Module, shape: tuple[int, int, int, int]) -> Callable[[], None]:
    """Return one forward and backward pass of a module with the interface of torch's."""
    T, B, inputs, _ = shape
    draw = torch.Generator().manual_seed(0)
    x_TBI = torch.randn(T, B, inputs, generator=draw, requires_grad=True)

    def run() -> None:
        module(x_TBI)[0].sum().backward()

    return run


def peer(name: str, shape: tuple[int, int, int, int]) -> Callable[[], None] | None:
    """Return torchrecurrent's counterpart if it is installed and has one that runs."""
    if name not in PEERS or importlib.util.find_spec("torchrecurrent") is None:
        return None
    _, _, inputs, hidden = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = getattr(importlib.import_module("torchrecurrent"), PEERS[name])(inputs, hidden)
            run = theirs(module, shape)
            run()
    except (RuntimeError, TypeError, ValueError) as error:
        print(f"torchrecurrent's {PEERS[name]} does not run at {shape}: {error}", file=sys.stderr)
        return None
    return run


def medians(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each. Slow ones are measured in fewer rounds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        began = time.process_time()
        run()
        times[name].append(time.process_time() - began)
    every = {name: 10 if name.startswith("torchrecurrent") else 1 for name in runs}
    order, draw = list(runs), random.Random(0)
    for number in range(rounds):
        draw.shuffle(order)  # so that no run always finds the caches that the same other run left
        for name in order:
            run = runs[name]
            if number % every[name] == 0:
                if every[name] == 1:
                    run()
                began = time.process_time()
                run()
                times[name].append(time.process_time() - began)
    return {name: statistics.median(found[1:]) * 1e3 for name, found in times.items()}


def compiled_ms(run: Callable[[], None]) -> float:
    """Return the median milliseconds of a pass that are spent in compiled code."""
    spent: list[float] = []

    def timed(method: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any, **named: Any) -> None:
            began = time.process_time()
            method(*arguments, **named)
            spent[-1] += time.process_time() - began

        return call

    methods = {name: getattr(Program, name) for name in ("forward", "backward")}
    try:
        for name, method in methods.items():
            setattr(Program, name, timed(method))
        for _ in range(9):
            spent.append(0.0)
            run()
    finally:
        for name, method in methods.items():
            setattr(Program, name, method)
    return statistics.median(spent[1:]) * 1e3


def cause(variant: Variant, ms: float, compiled: float, allowed: float) -> str:
    """Return why a row takes longer than the standard LSTM for its arithmetic."""
    if compiled <= allowed and variant.name not in CAUSES:
        around = "Python, autograd and torch" + " with the input projection" * variant.square
        return f"{ms - compiled:.2f} of {ms:.2f} ms are {around} around the compiled code"
    return CAUSES.get(variant.name, OTHERWISE)


def measure(shape: tuple[int, int, int, int], rounds: int, only: str) -> list[dict[str, Any]]:
    """Return the rows of one shape."""
    T, B, inputs, hidden = shape
    runs = {
        "nn.LSTM": theirs(torch.nn.LSTM(inputs, hidden), shape),
        "nn.GRU": theirs(torch.nn.GRU(inputs, hidden), shape),
    }
    variants = [v for v in cells.VARIANTS.values() if v.name.startswith(only)]
    for variant in variants:
        runs[variant.name] = ours(variant, shape)
        other = peer(variant.name, shape)
        if other is not None:
            runs[f"torchrecurrent {variant.name}"] = other
    found = medians(runs, rounds)
    rows = []
    for variant in variants:
        ms = found[variant.name]
        other_ms = found.get(f"torchrecurrent {variant.name}")
        share = work(variant, inputs, hidden)
        per_work = share * found["nn.LSTM"] / ms
        row: dict[str, Any] = {
            "family": variant.family,
            "gates": variant.gates,
            "work": round(share, 4),
            **{"T": T, "B": B, "I": inputs, "H": hidden},
            "ms": round(ms, 4),
            "vs_nn_lstm": round(found["nn.LSTM"] / ms, 3),
            "vs_nn_gru": round(found["nn.GRU"] / ms, 3),
            "vs_torchrecurrent": None if other_ms is None else round(other_ms / ms, 2),
            "path": scan.path(variant, torch.zeros(1, 1, 1)),
        }
        if per_work < 1:
            row["compiled_ms"] = round(compiled_ms(runs[variant.name]), 4)
            allowed = share * found["nn.LSTM"]
            row["cause"] = cause(variant, ms, row["compiled_ms"], allowed)
        rows.append(row)
    print(f"\nT={T} B={B} I={inputs} H={hidden}   nn.LSTM {found['nn.LSTM']:.2f} ms, ", end="")
    print(f"nn.GRU {found['nn.GRU']:.2f} ms")
    print(f"{'cell':32}{'work':>6}{'ms':>9}{'/LSTM':>8}{'work x':>8}{'/GRU':>8}{'/peer':>8}")
    for row in rows:
        name = f"{row['family']} {row['gates']}"
        per_work = row["work"] * row["vs_nn_lstm"]
        last = "" if row["vs_torchrecurrent"] is None else f"{row['vs_torchrecurrent']:.1f}"
        print(
            f"{name:32}{row['work']:6.2f}{row['ms']:9.3f}{row['vs_nn_lstm']:8.2f}{per_work:8.2f}"
            f"{row['vs_nn_gru']:8.2f}{last:>8}  {row.get('cause', '')}"
        )
    return rows


def processor() -> str:
    """Return the processor's name."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(description="Time every cell against torch's own kernels.")
    parser.add_argument("--out", type=Path, default=Path("bench-cells.json"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--shapes", type=int, default=len(SHAPES), help="how many of the three")
    parser.add_argument("--only", default="", help="cells whose name starts so")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for shape in SHAPES[: arguments.shapes]:
        rounds = max(5, arguments.rounds // (1 + shape[0] * shape[3] // 16_384 * 3))
        rows += measure(shape, rounds, arguments.only)
    names = ("torch", "numpy", "llvmlite", "torchrecurrent")
    there = {name: importlib.util.find_spec(name) is not None for name in names}
    versions = {name: importlib.metadata.version(name) for name in names if there[name]}
    versions["python"] = platform.python_version()
    report = {"processor": processor(), "threads": 1, "clock": "CPU time", "versions": versions}
    arguments.out.write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
