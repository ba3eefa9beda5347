"""Turns LLVM code into functions that can be called, once a process."""

import ctypes
import functools
from collections.abc import Callable

from llvmlite import binding as llvm

from trainables.cells.engine.emit import Plan, emit
from trainables.cells.engine.ir import Kind
from trainables.cells.engine.product import emit_product
from trainables.cells.variant import Variant


@functools.cache
def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True
    )


@functools.cache
def lanes() -> int:
    """Return the float32 numbers in a register, or 0 where the engine does not run.

    The engine needs fused multiply-add and masked loads: AVX2 or AVX-512.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512dq"):
        return 16
    return 8 if features.get("avx2") and features.get("fma") else 0


def _compile(code: str) -> llvm.ExecutionEngine:
    module = llvm.parse_assembly(code)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False  # it is vectors already
    options.loop_unrolling = False
    passes = llvm.create_pass_builder(_machine(), options)
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, _machine())
    engine.finalize_object()
    return engine


@functools.cache
def kind(double: bool) -> Kind:
    """Return the vectors of this machine."""
    return Kind(double, lanes() // 2 if double else lanes())


@functools.cache
def _product(double: bool) -> tuple[llvm.ExecutionEngine, int]:
    engine = _compile(emit_product(kind(double)))
    return engine, engine.get_function_address("product")


def product_address(double: bool) -> int:
    """Return where the matrix product is."""
    return _product(double)[1]


def whole_address(name: str, double: bool) -> int:
    """Return where apply or accumulate is."""
    return int(_product(double)[0].get_function_address(name))


@functools.cache
def whole_product(name: str, double: bool) -> Callable[..., None]:
    """Return one of the matrix products over many rows: apply or accumulate."""
    pointer, whole = ctypes.c_void_p, ctypes.c_int64
    prototype = ctypes.CFUNCTYPE(None, *[pointer, whole] * 3, *[whole] * 4, pointer)
    return prototype(_product(double)[0].get_function_address(name))


class Scan:
    """A variant's compiled scan."""

    def __init__(self, variant: Variant, double: bool) -> None:
        self.plan = plan_of(variant)
        self.kind = kind(double)
        self._engine = _compile(emit(self.plan, self.kind))
        self.product = product_address(double)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self.forward = prototype(self._engine.get_function_address("forward"))
        self.backward = prototype(self._engine.get_function_address("backward"))


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
