"""Functions that all variants share, as one module of LLVM code.

product, apply, accumulate   see product.py
each   calls a scan's function for each of several models
drop   dropout of values over rows
"""

from llvmlite import ir

from trainables.engine.cpu.ir import I16, I32, I64, Code, SimdType
from trainables.engine.cpu.product import POINTER, add_products

#: Types of each's arguments: the scan's function, the address of the first model's arguments, the
#: number of models, and the bytes from one model's arguments to the next.
_EACH = [ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer(), POINTER, I64, I64]


def emit_shared(simd: SimdType) -> str:
    """Return the LLVM code of the functions."""
    module = ir.Module("shared")
    add_products(module, simd)
    _each(module, simd)
    _drop(module, simd)
    return str(module)


def _each(module: ir.Module, simd: SimdType) -> None:
    """Add each(function, arguments, models, stride)."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), _EACH), "each")
    code = Code(function, simd)
    b = code.builder
    scan, arguments, models, stride = function.args
    with code.loop(code.integer(0), models) as model:
        b.call(scan, [b.gep(arguments, [b.mul(model, stride)], source_etype=ir.IntType(8))])
    b.ret_void()


def _drop(module: ir.Module, simd: SimdType) -> None:
    """Add drop(out, out_row, value, value_row, levels, places, rows, width, last, scale).

    out and value are [rows, width], out_row and value_row the lengths of their rows in memory.
    levels is [places, width] of 16 bits each; row n uses the levels of place places[n]. A value
    whose level is at most `last` is kept, times scale; the others become 0.
    """
    types = [POINTER, I64, POINTER, I64, POINTER, POINTER, I64, I64, I64, simd.scalar]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), "drop")
    code = Code(function, simd)
    b, zero, lanes = code.builder, code.integer(0), simd.lanes
    out, out_row, value, value_row, levels, places, rows, width, last, scale = function.args
    short = ir.VectorType(I16, lanes)
    flat = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    undefined = ir.Constant(short, ir.Undefined)
    one = b.insert_element(undefined, b.trunc(last, I16), ir.Constant(I32, 0))
    limits = b.shuffle_vector(one, undefined, flat)
    factor, none = code.broadcast(scale), code.splat(0.0)
    whole = b.sub(width, b.srem(width, code.integer(lanes)))

    def drop_vector(row: ir.Value, drawn: ir.Value, unit: ir.Value, partial: bool) -> None:
        """Write one vector of units, or the part of one that is left of a row."""
        mask = code.lanes_below(unit, width)
        place = b.gep(drawn, [unit], source_etype=I16)
        if partial:
            arguments = [place, ir.Constant(I32, 2), mask, ir.Constant(short, [0] * lanes)]
            found = code.call(f"llvm.masked.load.v{lanes}i16.p0", short, arguments)
        else:  # AVX2 has no masked load of 16 bits: it takes them one by one
            found = b.load(place, align=2, typ=short)
        given = code.load(code.address(value, b.add(b.mul(row, value_row), unit)), mask)
        scaled = b.fmul(given, b.select(b.icmp_unsigned("<=", found, limits), factor, none))
        code.store(scaled, code.address(out, b.add(b.mul(row, out_row), unit)), mask)

    with code.loop(zero, rows) as row:
        place = b.load(b.gep(places, [row], source_etype=I64), typ=I64)
        drawn = b.gep(levels, [b.mul(place, width)], source_etype=I16)
        with code.loop(zero, whole, code.integer(lanes)) as unit:
            drop_vector(row, drawn, unit, partial=False)
        with code.loop(whole, width, code.integer(lanes)) as unit:
            drop_vector(row, drawn, unit, partial=True)
    b.ret_void()
