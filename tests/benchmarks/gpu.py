"""Every variant on this machine's card: right, fast alone, and fast a hundred at once.

    python tests/benchmarks/gpu.py [--out bench-gpu.json] [--seconds 540] [--only gru-slim-1]
        [--jobs 15] [--shapes 3]

torch, triton and pydantic are enough. Without a card it says so, writes no figure and exits 0.
Parts that no time is left for are named as such, in the table and in the file. All times are
medians of CUDA events, each call a CUDA graph unless it says "eager".

correct   forward and gradients of the path that the table takes, and of the generated kernel,
          against the equations in float64 on the card: |found - exact| / |exact|
alone     one model forward and backward: our path against cuDNN (the cells that it has), against
          the equations step by step, eager and as a CUDA graph
cohorts   a training step (data, model, loss, gradients, clipping, Adam) of 1, 8, 32 and 100 models
          of 64 units in one launch, against the same models one by one: eagerly, as torch.nn.LSTM
          and GRU train, and as a cohort of one each
trainings four epochs of three small models on ragged sequences, on one split and on three: in a
          cohort against each alone, and against the CPU, as the largest relative difference of a
          mean training loss
costs     an epoch, memory and passes, in turn and alone: what finalists are measured for
shapes    an epoch of twelve models of twelve shapes, one by one and side by side on streams
"""

import argparse
import functools
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables import cells
from trainables.cells.variant import Variant
from trainables.engine.gpu.paths import card_of, path_of
from trainables.layers import scan, stacked_scan
from trainables.layers.layer import Layer

#: Steps, sequences, inputs, units: those of bench-cells.
SHAPES = [(64, 32, 16, 32), (64, 32, 64, 128), (128, 64, 128, 256)]

Given = dict[str, torch.Tensor]


def median_ms(run: Callable[[], Any], rounds: int) -> float:
    """Return the median milliseconds of calls on the card."""
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def graph_ms(run: Callable[[], Any], rounds: int = 20) -> float:
    """Return the median milliseconds of a call that is captured as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = run()
    graph.replay()
    found = median_ms(graph.replay, rounds)
    del kept
    return found


class Scan:
    """One variant's scan at a shape, with random parameters and inputs on the card."""

    def __init__(self, name: str, shape: tuple[int, int, int, int]) -> None:
        T, B, inputs, self.hidden = shape
        self.variant = variant_of(name)
        draw = torch.Generator().manual_seed(0)
        inputs = self.hidden if self.variant.square else inputs
        layer = Layer(self.variant, inputs, self.hidden, draw)
        self.given: Given = {
            n: parameter.detach().unsqueeze(0).cuda() for n, parameter in layer.named_parameters()
        }
        for value in self.given.values():
            value += 0.05 * torch.randn(value.shape, generator=draw).cuda()
        self.given["x"] = torch.randn(1, T, B, inputs, generator=draw).cuda()
        self.lengths = torch.full((1, B), T).cuda()
        self.ragged = torch.randint(1, T + 1, (1, B), generator=draw).cuda()
        self.ragged[:, 0] = T
        shape_y = 1, T, B, self.variant.width(self.hidden)
        self.dy = torch.randn(shape_y, generator=draw).cuda()
        width = 1, len(self.variant.W) * self.hidden
        self.statistics = (torch.zeros(width).cuda(), torch.ones(width).cuda())

    def run(self, path: str, precision: str, lengths: torch.Tensor, dtype: torch.dtype) -> Given:
        """Return the output and all gradients."""
        given = {n: value.detach().to(dtype).requires_grad_() for n, value in self.given.items()}
        statistics = None
        if self.variant.norm == "batch":
            statistics = self.statistics[0].to(dtype), self.statistics[1].to(dtype)
        y = stacked_scan.scans(
            self.variant,
            {n: value for n, value in given.items() if n != "x"},
            given["x"],
            lengths,
            self.hidden,
            path,  # type: ignore[arg-type]
            precision,
            statistics,
            training=True,
        )
        dy, y_shown = self.dy, y.detach()
        if lengths is self.ragged:  # what stands in the padding means nothing
            valid = stacked_scan.valid_steps(lengths, y.shape[1]).unsqueeze(-1)
            dy, y_shown = dy * valid, y_shown * valid
        found = torch.autograd.grad(y, list(given.values()), dy.to(dtype))
        return {"y": y_shown, **dict(zip(given, found, strict=True))}

    def timed(self, path: str, precision: str = "float32") -> Callable[[], Given]:
        return lambda: self.run(path, precision, self.lengths, torch.float32)

    def path(self, precision: str = "float32") -> str:
        return path_of(
            self.variant,
            self.hidden,
            precision,
            card_of(self.lengths.device),
            torch_has=self.variant.name in scan.KERNELS,
            double=False,
        )

    def generated(self, precision: str = "float32") -> bool:
        card = card_of(self.lengths.device)
        has = {"torch_has": False, "double": False}
        return path_of(self.variant, self.hidden, precision, card, **has) == "generated"


def variant_of(name: str) -> Variant:
    return next(variant for variant in cells.VARIANTS.values() if variant.name == name)


def compiled(name: str, shape: tuple[int, int, int, int], precision: str) -> None:
    """Compile a variant's kernels at a shape, in a process of its own, into Triton's cache."""
    one = Scan(name, (2, *shape[1:]))
    if one.generated(precision):
        one.run("generated", precision, one.lengths, torch.float32)
        torch.cuda.synchronize()


def compile_all(jobs: list[tuple[Any, ...]], processes: int, until: float) -> list[str]:
    """Compile kernels side by side; return what failed or found no time."""
    failed = []
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context)
    waiting = {job: pool.submit(compiled, *job) for job in jobs}
    for job, future in waiting.items():
        try:
            future.result(timeout=max(0.1, until - time.monotonic()))
        except Exception as error:
            failed.append(f"{job}: {type(error).__name__} {str(error)[-200:]}")
    for process in list(pool._processes.values()):
        process.kill()
    return failed


def errors(one: Scan, path: str, precision: str, exact: Given) -> float:
    """Return the largest relative error of the output and the gradients; NaN where there is one."""
    found = one.run(path, precision, one.ragged, torch.float32)
    relative = [
        float((found[n].double() - value).norm() / value.norm().clamp(min=1e-9))
        for n, value in exact.items()
    ]
    return float(np.max(relative))


def cudnn(name: str, shape: tuple[int, int, int, int]) -> Callable[[], Any] | None:
    """Return forward and backward of torch's own layer of the same cell."""
    kinds = {
        "lstm-standard": torch.nn.LSTM,
        "gru-reset-after": torch.nn.GRU,
        "rnn-tanh": torch.nn.RNN,
    }
    if name not in kinds:
        return None
    T, B, inputs, hidden = shape
    module = kinds[name](inputs, hidden).cuda()
    x, dy = torch.randn(T, B, inputs).cuda(), torch.randn(T, B, hidden).cuda()

    def run() -> Any:
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(module(leaf)[0], [leaf, *module.parameters()], dy)

    return run


def measure(name: str, shape: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return errors and milliseconds of a variant at a shape."""
    one = Scan(name, shape)
    row: dict[str, Any] = {"variant": name, "shape": shape, "path": one.path()}
    exact = one.run("reference", "float32", one.ragged, torch.float64)
    paths = {row["path"], *(["generated"] if one.generated() else [])}
    row["error"] = {path: errors(one, path, "float32", exact) for path in paths}
    row["ms"] = {path: graph_ms(one.timed(path)) for path in paths if path != "reference"}
    theirs = cudnn(name, shape)
    if theirs is not None:
        row["ms"]["cudnn"] = graph_ms(theirs)
    run = one.timed("reference")
    run()
    row["ms"]["eager"] = median_ms(run, 2)
    if row["path"] == "reference":
        row["ms"]["reference"] = graph_ms(one.timed("reference"), 5)
    return row


def show(found: dict[str, Any]) -> None:
    """Print a short table."""
    for row in found["cells"]:
        times = "  ".join(f"{name} {ms:.3f}" for name, ms in row["ms"].items())
        error = max(row["error"].values())
        print(
            f"{row['variant']:28} H {row['shape'][3]:3}  {row['path']:9}  {error:.0e}  ms: {times}"
        )
    for row in found["cohorts"]:
        times = "  ".join(f"{name} {ms:.2f}" for name, ms in row["ms"].items())
        ratios = ", ".join(f"{n}: {v:.0f}" for n, v in row.items() if n.startswith("times"))
        print(f"cohorts of {row['variant']}, {row['precision']}  ms a step: {times}  {ratios}")
    for row in found["trainings"]:
        print(
            f"ragged trainings of {row['variant']}, in a cohort over {row['splits']} splits: "
            f"{row['alone']:.0e} from alone, {row['cpu']:.0e} from the CPU"
        )
    for row in (row for rows in found["costs"] for row in rows):
        passes = "  ".join(f"of {batch} {ms:.2f}" for batch, ms in row["pass ms"].items())
        print(
            f"alone, {row['variant']:16} epoch {row['epoch ms']:.1f} ms, {row['peak MB']:.1f} MB, "
            f"passes {passes} ms  ({row['path']})"
        )
    for row in found["shapes"]:
        times = "  ".join(f"{count} {ms:.1f}" for count, ms in row["ms"].items())
        ratio = row["times one after the other"]
        print(
            f"an epoch of {row['shapes']} shapes, so many at once: ms {times}  ({ratio:.1f} times)"
        )
    for line in found["not measured"]:
        print("not measured:", line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="bench-gpu.json")
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--only", default="", help="variants, by commas; all by default")
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--shapes", type=int, default=3)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA card here: nothing is measured.")
        return
    began = time.monotonic()
    until = began + options.seconds
    # They need Triton, which is where a card is.
    import gpu_trainings as trained
    import triton

    about = torch.cuda.get_device_properties(0)
    found: dict[str, Any] = {
        "card": about.name,
        "memory_bytes": about.total_memory,
        "versions": {"torch": torch.__version__, "triton": triton.__version__,
                     "cuda": torch.version.cuda, "python": platform.python_version()},
        "cells": [], "cohorts": [], "trainings": [], "costs": [], "shapes": [], "not measured": [],
    }  # fmt: skip
    torch.backends.cudnn.allow_tf32 = False  # as in our float32
    names = options.only.split(",") if options.only else [v.name for v in cells.VARIANTS.values()]
    scans = SHAPES[: options.shapes]
    jobs = [(name, shape, "float32") for shape in scans for name in names]
    cohort_cells = trained.CELLS[:3]
    sizes = [(f"{cell}-{gates}", (64, 32, 8, 64)) for cell, gates in cohort_cells]
    jobs = [(*size, precision) for size in sizes for precision in ("float32", "tf32")] + jobs
    twelve = [(cell, gates, units) for cell, gates in trained.CELLS for units in trained.UNITS]
    jobs += [(f"{cell}-{gates}", (64, 32, 8, n), "float32") for cell, gates, n in twelve]
    for failure in compile_all(jobs, options.jobs, began + options.seconds * 0.4):
        found["not measured"].append(f"compile {failure}")
    print(f"compiled after {time.monotonic() - began:.0f} s", flush=True)
    for cell, gates in cohort_cells:
        for precision in ("float32", "tf32"):
            try:
                if time.monotonic() < until:
                    found["cohorts"].append(trained.cohorts(cell, gates, precision))
            except Exception as error:
                found["not measured"].append(
                    f"cohorts of {cell}: {type(error).__name__} {str(error)[-300:]}"
                )
    for name, part in (
        *(("trainings", functools.partial(trained.trainings, *cell)) for cell in trained.RAGGED),
        *(
            ("trainings", functools.partial(trained.trainings, *cell, splits=True))
            for cell in trained.RAGGED
        ),
        ("costs", trained.costs),
        ("shapes", trained.shapes),
    ):
        try:
            found[name].append(part())
        except Exception as error:
            found["not measured"].append(f"{name}: {type(error).__name__} {str(error)[-300:]}")
    print(f"cohorts after {time.monotonic() - began:.0f} s", flush=True)
    for shape in scans:
        for name in names:
            if time.monotonic() > until:
                found["not measured"].append(f"{name} at {shape}: no time was left")
                continue
            try:
                found["cells"].append(measure(name, shape))
                Path(options.out).write_text(json.dumps(found, indent=1))
            except Exception as error:
                found["not measured"].append(
                    f"{name} at {shape}: {type(error).__name__} {str(error)[-300:]}"
                )
    Path(options.out).write_text(json.dumps(found, indent=1))
    show(found)
    print(f"{about.name}, torch {torch.__version__}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
