"""Turns LLVM code into functions that can be called; what is compiled stays in a cache on disk."""

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
from trainables.engine.cpu.ir import Kind
from trainables.engine.cpu.plan import Plan
from trainables.engine.cpu.shared import emit_shared
from trainables.engine.trace import Node, Product, walk

#: Object files. All variants together are about eighty.
KERNELS = Cache("kernels", kept=512)

logger = logging.getLogger(__name__)


def _sources() -> str:
    """Return a digest of the engine's own code, and of the words of equations."""
    here = sorted(file for file in Path(__file__).parent.glob("*.py*") if file.is_file())
    digest = hashlib.sha256()
    for file in (*here, Path(equations.__file__)):
        code = file.read_bytes()
        digest.update(f"{file.name} {len(code)} ".encode() + code)
    return digest.hexdigest()


#: Taken when the module is imported: of the code that runs, though the files change meanwhile.
_ENGINE = _sources()


@functools.cache
def _processor() -> tuple[str, str]:
    """Return name and features of this processor, as LLVM is told them."""
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


def _machine() -> llvm.TargetMachine:
    """Return a machine to compile for, a new one: an execution engine takes its own away."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _processor()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3, jit=True)


@functools.cache
def lanes() -> int:
    """Return the float32 numbers in a register, or 0 where the engine does not run.

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
    options.loop_vectorization = options.slp_vectorization = False  # it is vectors already
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    compiled_code: bytes = machine.emit_object(module)
    return compiled_code


def _loaded(
    name: str, kind: Kind, plan: Plan | None, emitted: Callable[[], str]
) -> llvm.ExecutionEngine:
    """Return code ready to be called: from the cache, or compiled now, which is logged."""
    key = key_of(kind, plan)
    code = KERNELS.load(key)
    if code is None:
        logger.debug("compiling %s in float%d", name, 8 * kind.bytes)
        code = _compile(emitted())
        KERNELS.store(key, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def key_of(kind: Kind, plan: Plan | None) -> str:
    """Return the name of a plan's compiled code, or without one of what all share.

    It is a digest of everything that the code follows from, and known before any code is emitted.
    """
    made_by = [_ENGINE, llvmlite.__version__, llvm.llvm_version_info]
    made_for = [llvm.get_default_triple(), *_processor(), asdict(kind)]
    told = json.dumps([made_by, made_for, plan and _followed(plan)], default=_plain)
    return hashlib.sha256(told.encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Node):
        return value.number
    if isinstance(value, Product):
        return value.matrix, value.block, value.source
    raise TypeError(f"{value!r} in the key of compiled code")


def _followed(plan: Plan) -> object:
    """Return what the code of a plan follows from: its row, its graph, and where values are kept.

    The equations are in it as they were traced, so that it does not matter where they stand, nor
    whether a function that they call has changed.
    """
    t, variant = plan.trace, plan.variant
    row = [getattr(variant, field.name) for field in fields(Variant) if field.name != "step"]
    row.append(variant.projected)
    layout = [t.sums, list(plan.tape.items()), list(plan.across.items())]
    groups = t.graph.groups
    members = [node for group in groups.values() for node in group]
    parts = [field.name for field in fields(Node) if field.name != "graph"]
    graph = [
        [getattr(node, part) for part in parts]
        for node in walk([*t.after.values(), *members, *t.sums, *plan.tape, *plan.across])
    ]
    return [row, t.after, groups, layout, graph]


@functools.cache
def kind(double: bool) -> Kind:
    """Return the vectors of this machine."""
    return Kind(double, lanes() // 2 if double else lanes())


@functools.cache
def _shared(double: bool) -> llvm.ExecutionEngine:
    chosen = kind(double)
    return _loaded("shared", chosen, None, lambda: emit_shared(chosen))


@functools.cache
def shared_address(name: str, double: bool) -> int:
    """Return where one of the functions is that all variants share."""
    return int(_shared(double).get_function_address(name))


class Scan:
    """A variant's compiled scan."""

    def __init__(self, variant: Variant, double: bool) -> None:
        self.plan = plan_of(variant)
        self.kind = kind(double)
        self._engine = _loaded(
            variant.name, self.kind, self.plan, lambda: emit(self.plan, self.kind)
        )
        #: Where both functions are.
        self.addresses = {
            name: int(self._engine.get_function_address(name)) for name in ("forward", "backward")
        }
        one = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.forward, self.backward = (one(at) for at in self.addresses.values())


_PLANS: dict[str, Plan] = {}
_SCANS: dict[tuple[str, bool], Scan] = {}


def plan_of(variant: Variant) -> Plan:
    """Return the plan of a variant, made once."""
    if variant.name not in _PLANS:
        _PLANS[variant.name] = Plan(variant)
    return _PLANS[variant.name]


def compiled(variant: Variant, double: bool) -> Scan:
    """Return the compiled scan of a variant, compiled at its first use in the process."""
    key = (variant.name, double)
    if key not in _SCANS:
        _SCANS[key] = Scan(variant, double)
    return _SCANS[key]
