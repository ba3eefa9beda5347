"""Functions that all variants share, as one module of LLVM code.

product, apply, accumulate  see product.py
each   calls a scan's function for several models
drop   dropout of values over rows
"""

from llvmlite import ir

from trainables.engine.cpu.ir import I16, I32, I64, Code, Kind
from trainables.engine.cpu.product import POINTER, add_products

#: Type of each: a scan's function, the first model's words, models, bytes from one to the next.
_EACH = [ir.FunctionType(ir.VoidType(), [POINTER]).as_pointer(), POINTER, I64, I64]


def emit_shared(kind: Kind) -> str:
    """Return the LLVM code of the functions."""
    module = ir.Module("shared")
    add_products(module, kind)
    _each(module, kind)
    _drop(module, kind)
    return str(module)


def _each(module: ir.Module, kind: Kind) -> None:
    """Add each(function, words, models, apart)."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), _EACH), "each")
    code = Code(function, kind)
    b = code.builder
    scan, words, models, apart = function.args
    with code.loop(code.integer(0), models) as model:
        b.call(scan, [b.gep(words, [b.mul(model, apart)], source_etype=ir.IntType(8))])
    b.ret_void()


def _drop(module: ir.Module, kind: Kind) -> None:
    """Add drop(out, out_row, value, value_row, levels, places, rows, width, last, scale).

    out and value are [rows, width] with rows that far apart; levels [.., width] 16 bits each, of
    which a row reads the one that places [rows] names. What is at most `last` keeps the value,
    times scale.
    """
    types = [POINTER, I64, POINTER, I64, POINTER, POINTER, I64, I64, I64, kind.scalar]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), "drop")
    code = Code(function, kind)
    b, zero, lanes = code.builder, code.integer(0), kind.lanes
    out, out_row, value, value_row, levels, places, rows, width, last, scale = function.args
    short = ir.VectorType(I16, lanes)
    flat = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    undefined = ir.Constant(short, ir.Undefined)
    one = b.insert_element(undefined, b.trunc(last, I16), ir.Constant(I32, 0))
    limits = b.shuffle_vector(one, undefined, flat)
    factor, none = code.spread_value(scale), code.splat(0.0)
    whole = b.sub(width, b.srem(width, code.integer(lanes)))

    def go(row: ir.Value, drawn: ir.Value, unit: ir.Value, some: bool) -> None:
        """Do a vector of units, or what is left of a row."""
        mask = code.lanes_below(unit, width)
        at = b.gep(drawn, [unit], source_etype=I16)
        if some:
            arguments = [at, ir.Constant(I32, 2), mask, ir.Constant(short, [0] * lanes)]
            found = code.call(f"llvm.masked.load.v{lanes}i16.p0", short, arguments)
        else:  # AVX2 has no masked load of 16 bits: it takes them one by one
            found = b.load(at, align=2, typ=short)
        given = code.load(code.at(value, b.add(b.mul(row, value_row), unit)), mask)
        scaled = b.fmul(given, b.select(b.icmp_unsigned("<=", found, limits), factor, none))
        code.store(scaled, code.at(out, b.add(b.mul(row, out_row), unit)), mask)

    with code.loop(zero, rows) as row:
        place = b.load(b.gep(places, [row], source_etype=I64), typ=I64)
        drawn = b.gep(levels, [b.mul(place, width)], source_etype=I16)
        with code.loop(zero, whole, code.integer(lanes)) as unit:
            go(row, drawn, unit, some=False)
        with code.loop(whole, width, code.integer(lanes)) as unit:
            go(row, drawn, unit, some=True)
    b.ret_void()
