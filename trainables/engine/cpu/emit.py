"""The LLVM code of a variant's scan, forward and backward."""

from llvmlite import ir

from trainables.engine.cpu.backward import BackwardFunction
from trainables.engine.cpu.forward import ForwardFunction
from trainables.engine.cpu.ir import SimdType
from trainables.engine.cpu.plan import Plan


def emit(plan: Plan, simd: SimdType) -> str:
    """Return the LLVM code of a variant's scan."""
    module = ir.Module(plan.variant.name)
    ForwardFunction(plan, module, simd)
    BackwardFunction(plan, module, simd)
    return str(module)
