"""Writes a variant's scan as LLVM code."""

from llvmlite import ir

from trainables.cells.engine.backward import BackwardFunction
from trainables.cells.engine.forward import ForwardFunction
from trainables.cells.engine.ir import Kind
from trainables.cells.engine.plan import Plan


def emit(plan: Plan, kind: Kind) -> str:
    """Return the LLVM code of a variant's scan."""
    module = ir.Module(plan.variant.name)
    ForwardFunction(plan, module, kind)
    BackwardFunction(plan, module, kind)
    return str(module)
