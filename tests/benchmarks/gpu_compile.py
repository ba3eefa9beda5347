"""Every generated kernel, compiled for cards that need not be here: registers, spills, memory.

    python tests/benchmarks/gpu_compile.py [--out bench-gpu-compile.json] [--only x] [--jobs 2]
        [--targets 80,90,100] [--sizes 32,64,128,256] [--precisions float32]

Triton brings the compiler for all of them. Each kernel is compiled in a process of its own, since a
failed assertion in the compiler ends the process. A row tells the path that the table (paths.py)
takes at that size on that card; a kernel that the table would not run is not compiled.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGETS, SIZES = (80, 90, 100), (32, 64, 128, 256)


def compile_one(
    name: str,
    kind: str,
    target: int,
    hidden: int,
    precision: str,
    warps: int,
    split: int,
    tile: int,
    chunks: int = 1,
) -> dict[str, Any]:
    """Compile a kernel in this process; return what it takes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from trainables import cells
    from trainables.cells.zoneout import zoned
    from trainables.engine.gpu.kernels import Launch, kernels_of

    variant = next(v for v in cells.VARIANTS.values() if v.name == name.removesuffix("+"))
    if name.endswith("+"):
        variant = zoned(variant)
    kernels = kernels_of(variant, chunks)
    launch = Launch(kernels, hidden, precision, warps, tile, split)
    function = getattr(kernels, kind)
    constants = dict(launch.constants)
    options = {key: constants.pop(key) for key in ("num_warps", "num_stages")}
    signature, attributes = {}, {}
    for at, argument in enumerate(function.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in ("lengths",):
            signature[argument] = "*i64"
        elif argument == "met":
            signature[argument] = "*i32"
        elif argument in ("T", "B", "models", "keep_scan", "keep_step", "keep_row"):
            signature[argument] = "i32"
        else:
            signature[argument] = "*fp32"
        if signature[argument].startswith("*"):
            attributes[(at,)] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    dump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [str(dump), "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = dict(
        part.split(":")
        for part in text.split("Function ")[-1].split()
        if part.count(":") == 1 and part.split(":")[1].isdigit()
    )
    return {
        "registers": int(found["REG"]),
        "stack_bytes": int(found["STACK"]),
        "local_bytes": int(found["LOCAL"]),
        "shared_bytes": compiled.metadata.shared,
    }


if __name__ == "__main__":
    n, k, t, h, p, w, sp, ti, ch = sys.argv[1:]
    try:
        print(
            n,
            k,
            t,
            h,
            p,
            "warps",
            w,
            "split",
            sp,
            "tile",
            ti,
            "chunks",
            ch,
            json.dumps(compile_one(n, k, int(t), int(h), p, int(w), int(sp), int(ti), int(ch))),
        )
    except Exception as e:
        print(n, k, t, h, p, w, "split", sp, ti, "ERR", type(e).__name__, str(e)[:200])
