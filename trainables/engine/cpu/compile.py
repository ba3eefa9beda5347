"""Compilation: from plans to functions that can be called, with a cache of object files on disk."""

import ctypes
import functools
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import llvmlite
from llvmlite import binding as llvm

from trainables.cache import Cache
from trainables.cells import equations
from trainables.cells.variant import Variant
from trainables.engine.cpu.emit import emit
from trainables.engine.cpu.ir import SimdType
from trainables.engine.cpu.plan import Plan
from trainables.engine.cpu.shared import emit_shared
from trainables.engine.graph import Node, Product, walk

#: Object files. All variants in both float types, with and without zoneout, are about 150.
KERNELS = Cache("kernels", max_entries=512)

logger = logging.getLogger(__name__)


def sources_digest(engine: Path) -> str:
    """Return a digest of the code in the engine's folder, and of the vocabulary of equations."""
    ours = [*engine.glob("*.py*"), *engine.glob("cpu/*.py*")]
    files = sorted(file for file in ours if file.is_file())
    digest = hashlib.sha256()
    for file in (*files, Path(equations.__file__)):
        code = file.read_bytes()
        digest.update(f"{file.name} {len(code)} ".encode() + code)
    return digest.hexdigest()


#: Taken at import, so that it is of the code that runs even if the files change later.
_SOURCES_DIGEST = sources_digest(Path(__file__).parent.parent)


@functools.cache
def _processor() -> tuple[str, str]:
    """Return name and features of this processor, as LLVM reads them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine() -> llvm.TargetMachine:
    """Return a new machine to compile for: an execution engine takes ownership of its own."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _processor()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)


@functools.cache
def lanes() -> int:
    """Return the number of float32 values in a register, or 0 if the engine does not run here.

    The engine needs fused multiply-add and masked loads: AVX2 or AVX-512.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 0


def _compile(code: str) -> bytes:
    """Return LLVM code as an object file for this processor."""
    module, machine = llvm.parse_assembly(code), _machine()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False  # the code has vectors already
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    compiled_code: bytes = machine.emit_object(module)
    return compiled_code


def _loaded(
    name: str, simd: SimdType, plan: Plan | None, emit_code: Callable[[], str]
) -> llvm.ExecutionEngine:
    """Return code ready to be called, from the cache or compiled now; compiling is logged."""
    key = key_of(simd, plan)
    code = KERNELS.load(key)
    if code is None:
        logger.debug("compiling %s in float%d", name, 8 * simd.bytes)
        code = _compile(emit_code())
        KERNELS.store(key, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def key_of(simd: SimdType, plan: Plan | None) -> str:
    """Return the key of a plan's compiled code in the cache; without a plan, of the shared code.

    It is a digest of everything that the code follows from, and is known before code is emitted.
    """
    made_by = [_SOURCES_DIGEST, llvmlite.__version__, llvm.llvm_version_info]
    made_for = [llvm.get_default_triple(), *_processor(), asdict(simd)]
    made_from = plan and _determinants(plan)
    text = json.dumps([made_by, made_for, made_from], default=_json_value)
    return hashlib.sha256(text.encode()).hexdigest()


def _json_value(value: object) -> object:
    if isinstance(value, Node):
        return value.number
    if isinstance(value, Product):
        return value.matrix, value.block, value.source
    raise TypeError(f"the key of compiled code must not contain {value!r}")


def _determinants(plan: Plan) -> object:
    """Return what the code of a plan follows from: its row, its graph, and the tape.

    The equations are in it as they were traced, so that neither their place nor a function that
    they call matters but for its effect.
    """
    step, variant = plan.step, plan.variant
    row = [getattr(variant, field.name) for field in fields(Variant) if field.name != "step"]
    row.append(variant.projected)
    layout = [step.sums, list(plan.tape.items()), list(plan.between_stages.items())]
    groups = step.graph.groups
    members = [node for group in groups.values() for node in group]
    parts = [field.name for field in fields(Node) if field.name != "graph"]
    roots = [*step.new_state.values(), *members, *step.sums, *plan.tape, *plan.between_stages]
    graph = [[getattr(node, part) for part in parts] for node in walk(roots)]
    return [row, step.new_state, groups, layout, graph]


@functools.cache
def simd_type(double: bool) -> SimdType:
    """Return the vectors of this processor."""
    return SimdType(double, lanes() // 2 if double else lanes())


@functools.cache
def _shared(double: bool) -> llvm.ExecutionEngine:
    simd = simd_type(double)
    return _loaded("shared", simd, None, lambda: emit_shared(simd))


@functools.cache
def shared_address(name: str, double: bool) -> int:
    """Return the address of one of the functions that all variants share (shared.py)."""
    return int(_shared(double).get_function_address(name))


class CompiledScan:
    """A variant's compiled scan in one float type, for layers of every size."""

    def __init__(self, variant: Variant, double: bool) -> None:
        self.plan = plan_of(variant)
        self.simd = simd_type(double)
        self._engine = _loaded(
            variant.name, self.simd, self.plan, lambda: emit(self.plan, self.simd)
        )
        #: Addresses of both functions.
        self.addresses = {
            name: int(self._engine.get_function_address(name)) for name in ("forward", "backward")
        }
        of_pointer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.forward, self.backward = (of_pointer(found) for found in self.addresses.values())


_PLANS: dict[str, Plan] = {}
_SCANS: dict[tuple[str, bool], CompiledScan] = {}


def plan_of(variant: Variant) -> Plan:
    """Return the plan of a variant, made once a process."""
    if variant.name not in _PLANS:
        _PLANS[variant.name] = Plan(variant)
    return _PLANS[variant.name]


def compiled(variant: Variant, double: bool) -> CompiledScan:
    """Return the compiled scan of a variant, compiled at its first use in the process."""
    key = (variant.name, double)
    if key not in _SCANS:
        _SCANS[key] = CompiledScan(variant, double)
    return _SCANS[key]
