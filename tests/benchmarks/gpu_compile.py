"""Every generated kernel, compiled for cards that need not be here: registers, spills, memory.

    python tests/benchmarks/gpu_compile.py [--out bench-gpu-compile.json] [--resume] [--jobs 2]
        [--cards 80,90,100] [--sizes 32,64,128,256] [--precisions float32,tf32,bf16]
        [--only lstm] [--seconds 900]

Triton brings the compiler, and ptxas says what a kernel takes. A row tells the path of the table
(engine/gpu/paths.py) for a variant, a size and a card; only what the table launches is compiled.
Each kernel has a process of its own, since a failed assertion in the compiler ends the process.
--resume takes rows of the file over whose kernels have the same text and launch. The exit code is 1
if a kernel cannot be compiled, or if one that must not spill does: see MUST_NOT_SPILL.

Spills are the bytes that ptxas -v calls spill stores. A stack frame alone is none: arrays and
alignment take one too, and cuobjdump's STACK does not tell them apart.
"""

import argparse
import contextlib
import functools
import hashlib
import inspect
import io
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from trainables import cells
from trainables.engine.gpu.paths import Card, path_of, shape_of
from trainables.layers import scan

#: A100, H100, B200.
CARDS = {
    80: Card((8, 0), 163 << 10, 108),
    90: Card((9, 0), 227 << 10, 132),
    100: Card((10, 0), 227 << 10, 148),
}
SIZES = (32, 64, 128, 256)
#: Variants whose kernels keep all values in registers up to that size on that card.
MUST_NOT_SPILL = ("lstm-standard", "gru-reset-after", "gru-reset-before", "rnn-tanh"), 64, 90
PASSES = "forward", "backward"
#: Types of a kernel's arguments that are no pointers to float32.
TYPES = {"lengths": "*i64", "met": "*i32"} | dict.fromkeys(
    ("T", "B", "models", "keep_scan", "keep_step", "keep_row"), "i32"
)
VARIANTS = {variant.name: variant for variant in cells.VARIANTS.values()}

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One variant at one size on one card."""

    variant: str
    sm: int
    hidden: int
    precision: str

    def row(self) -> Row:
        """Return the path and the launch, without what only the compiler knows."""
        variant, card = VARIANTS[self.variant], CARDS[self.sm]
        shape = shape_of(variant, self.hidden, self.precision, card)
        if shape is not None:
            launch = {"path": "generated", **asdict(shape)}
            return {**asdict(self), **launch, "text": _text(self.variant)}
        has = {"torch_has": self.variant in scan.KERNELS, "double": False}
        path = path_of(variant, self.hidden, self.precision, card, **has)
        return {**asdict(self), "path": path}


@functools.cache
def _text(name: str) -> str:
    """Return a digest of what a variant's kernels are made of."""
    from trainables.engine.gpu import functions, source
    from trainables.engine.gpu.plan import plan_of

    text = source.source(plan_of(VARIANTS[name])) + inspect.getsource(functions)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compiled(row: Row, kind: str) -> Row:
    """Compile a kernel in this process; return what it takes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from trainables.engine.gpu.kernels import Launch, kernels_of

    kernels = kernels_of(VARIANTS[row["variant"]], row["chunks"])
    launch = Launch(kernels, row["hidden"], row["precision"], row["warps"], split=row["split"])
    function, constants = getattr(kernels, kind), dict(launch.constants)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    names = function.arg_names
    signature = {n: "constexpr" if n in constants else TYPES.get(n, "*fp32") for n in names}
    aligned = {
        (at,): [["tt.divisibility", 16]] for at, n in enumerate(names) if signature[n][0] == "*"
    }
    triton.knobs.nvidia.dump_ptxas_log = triton.knobs.compilation.always_compile = True
    log, began = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(log):
        done = triton.compile(
            ASTSource(function, signature, constexprs=constants, attrs=aligned),
            target=GPUTarget("cuda", row["sm"], 32),
            options=options,
        )
    numbers = {
        "registers": r"Used (\d+) registers",
        "stack_bytes": r"(\d+) bytes stack frame",
        "spilled_bytes": r"(\d+) bytes spill stores",
    }
    found = {name: int(re.findall(rule, log.getvalue())[-1]) for name, rule in numbers.items()}
    found["shared_bytes"] = int(done.metadata.shared)
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


def _compile_and_send(row: Row, kind: str, to: Connection) -> None:
    try:
        to.send(compiled(row, kind))
    except Exception as error:
        to.send({"error": f"{type(error).__name__}: {error}"[:400]})


def compile_all(tasks: list[tuple[Row, str]], jobs: int, seconds: float) -> Iterator[Row]:
    """Compile kernels, `jobs` at once, each in a fork of this process; yield rows as they change.

    No kernel is begun after the seconds.
    """
    import trainables.engine.gpu.kernels  # noqa: F401  (forks have it, and Triton, at once)

    fork = multiprocessing.get_context("fork")
    running: dict[int, tuple[BaseProcess, Connection, Row, str]] = {}
    waiting, end = iter(tasks), time.monotonic() + seconds
    while True:
        while len(running) < jobs and time.monotonic() < end and (task := next(waiting, None)):
            row, kind = task
            here, there = fork.Pipe(duplex=False)
            process = fork.Process(target=_compile_and_send, args=(row, kind, there))
            process.start()
            there.close()
            running[process.sentinel] = process, here, row, kind
        if not running:
            return
        for sentinel in wait(list(running)):
            assert isinstance(sentinel, int)
            process, here, row, kind = running.pop(sentinel)
            process.join()
            # A closed end is readable too: its process has ended without an answer.
            try:
                row[kind] = here.recv()
            except EOFError:
                row[kind] = {"error": f"the compiler ended with exit code {process.exitcode}"}
            here.close()
            yield row


def spills(row: Row) -> bool:
    """Return whether a kernel of a row spills that must not."""
    names, hidden, sm = MUST_NOT_SPILL
    if row["variant"] not in names or row["hidden"] > hidden or row["sm"] != sm:
        return False
    return any(row.get(kind, {}).get("spilled_bytes", 0) > 0 for kind in PASSES)


def _line(row: Row) -> str:
    line = f"{row['variant']:26} {row['sm']:>4} {row['hidden']:>4} {row['precision']:8}"
    if row["path"] != "generated":
        return f"{line} {row['path']}"
    line += f" {row['split']:>5} {row['chunks']:>6} {row['warps']:>5}"
    for kind in PASSES:
        one = row.get(kind)
        if one is None:
            line += f"  {'not compiled':>24}"
        elif "error" in one:
            line += f"  {'error':>24}"
        else:
            line += f"  {one['registers']:>4} {one['stack_bytes']:>6} {one['spilled_bytes']:>6}"
            line += f" {one['shared_bytes'] / 1024:>5.0f}"
    return line


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    parts = f"{'regs':>4} {'stack':>6} {'spills':>6} {'KB':>5}"
    head = f"{'variant':26} {'sm':>4} {'H':>4} {'':8} {'split':>5} {'chunks':>6} {'warps':>5}"
    titles = f"{'':62}  {PASSES[0]:24}  {PASSES[1]:24}"
    lines = [titles.rstrip(), f"{head}  {parts}  {parts}", *map(_line, rows)]
    for row in rows:
        for kind in PASSES:
            if error := row.get(kind, {}).get("error"):
                place = f"{row['variant']} {kind}, sm_{row['sm']}, H {row['hidden']}"
                lines.append(f"{place}, {row['precision']}: {error}")
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench-gpu-compile.json"))
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--cards", type=_numbers, default=list(CARDS))
    parser.add_argument("--sizes", type=_numbers, default=list(SIZES))
    parser.add_argument("--precisions", default="float32")
    parser.add_argument("--only", default="", help="part of a variant's name")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser.parse_args()


def main() -> int:
    """Compile what is asked for, write rows as they are found, print the table."""
    import triton

    asked = _arguments()
    version: str = triton.__version__
    cases = [
        Case(name, sm, hidden, precision)
        for sm in asked.cards
        for hidden in asked.sizes
        for precision in asked.precisions.split(",")
        for name in VARIANTS
        if asked.only in name
    ]
    if not cases:
        print(f"--only must be part of a variant's name, not {asked.only!r}", file=sys.stderr)
        return 2
    known = json.loads(asked.out.read_text()) if asked.resume and asked.out.exists() else {}
    before = known.get("rows", []) if known.get("triton") == version else []
    rows = [case.row() for case in cases]
    for row in rows:
        for one in before:
            if all(one.get(key) == value for key, value in row.items()):
                row |= {k: one[k] for k in PASSES if k in one and "error" not in one[k]}
    asked_for = [asdict(case) for case in cases]
    others = [one for one in before if {k: one[k] for k in asdict(cases[0])} not in asked_for]

    def write() -> None:
        aside = asked.out.with_suffix(".part")
        aside.write_text(json.dumps({"triton": version, "rows": others + rows}, indent=1))
        aside.replace(asked.out)

    generated = [row for row in rows if row["path"] == "generated"]
    tasks = [(row, kind) for row in generated for kind in PASSES if kind not in row]
    write()
    with tempfile.TemporaryDirectory() as cache:
        triton.knobs.cache.dir = cache
        for row in compile_all(tasks, asked.jobs, asked.seconds):
            if all(kind in row for kind in PASSES):
                print(_line(row), flush=True)
            write()
    print(f"\nTriton {version}\n{table(rows)}")
    wrong = [row for row in generated if any("error" in row.get(kind, {}) for kind in PASSES)]
    spilled = [row for row in rows if spills(row)]
    for row in spilled:
        print(f"{row['variant']} must not spill at {row['hidden']} units on sm_{row['sm']}")
    return 1 if wrong or spilled else 0


if __name__ == "__main__":
    sys.exit(main())
