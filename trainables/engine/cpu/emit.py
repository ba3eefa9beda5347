"""Writes a variant's scan as LLVM code."""

from llvmlite import ir

from trainables.engine.cpu.backward import BackwardFunction
from trainables.engine.cpu.forward import ForwardFunction
from trainables.engine.cpu.ir import Kind
from trainables.engine.cpu.plan import Plan


def emit(plan: Plan, kind: Kind) -> str:
    """Return the LLVM code of a variant's scan."""
    module = ir.Module(plan.variant.name)
    ForwardFunction(plan, module, kind)
    BackwardFunction(plan, module, kind)
    return str(module)
