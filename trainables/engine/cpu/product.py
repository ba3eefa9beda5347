"""The matrix products of the scan: C += A · panel, with C held in registers.

C is [rows, G vectors], A is [rows, K], the panel [K, G vectors]: the columns of a matrix for G
registers of units, packed beforehand. A tile of a few rows has G accumulators a row, so that every
loaded vector of the panel serves all rows of the tile.

    product     C += A · panel, inside the scan
    apply       C += A · M for many rows, or C = A · M: the gradient of the input
    accumulate  C += Aᵀ · X over many rows: the gradients of the matrices
"""

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from trainables.engine.cpu.ir import I64, Code, SimdType

#: Rows of a tile by the number of vectors G; accumulators, panel and one number of A share 32
#: registers.
TILE_ROWS = {1: 12, 2: 12, 3: 8, 4: 6}
MAX_VECTORS = max(TILE_ROWS)
POINTER = ir.PointerType()
TYPE = ir.FunctionType(ir.VoidType(), [POINTER, I64, POINTER, I64, POINTER, I64, I64, I64])

#: Rows that apply computes at a time.
APPLY_ROWS = 64
ACCUMULATE = ir.FunctionType(ir.VoidType(), [POINTER, I64] * 3 + [I64] * 4 + [POINTER])
APPLY = ir.FunctionType(ir.VoidType(), [*ACCUMULATE.args, I64])
#: Rows of A and X that accumulate reads at a time: so many stay in the caches.
ACCUMULATE_ROWS = 256


def add_products(module: ir.Module, simd: SimdType) -> None:
    """Add product, apply and accumulate."""
    product = _any_width(module, simd, "product", transposed=False)
    _apply(module, simd, product)
    _accumulate(module, simd, _any_width(module, simd, "product_transposed", transposed=True))


def _apply(module: ir.Module, simd: SimdType, product: ir.Function) -> None:
    """Add apply(C, ldc, A, lda, M, ldm, N, K, width, group, panel, fresh).

    C is [N, width up to whole vectors], A [N, K], M [K, width]. If fresh is 1, C is overwritten.
    """
    function = ir.Function(module, APPLY, "apply")
    code = Code(function, simd)
    b, zero = code.builder, code.integer(0)
    C, ldc, A, lda, M, ldm, N, K, width, group, panel, fresh = function.args
    pack_columns(code, panel, M, [zero], ldm, K, width, group)
    with code.loop(zero, N, code.integer(APPLY_ROWS)) as row:
        rows = code.minimum(code.integer(APPLY_ROWS), b.sub(N, row))
        C_row, A_row = code.address(C, b.mul(row, ldc)), code.address(A, b.mul(row, lda))
        cleared_rows = b.mul(rows, fresh)
        with (
            code.loop(zero, cleared_rows) as cleared,
            code.loop(zero, width, code.integer(simd.lanes)) as unit,
        ):
            place = code.address(C_row, b.add(b.mul(cleared, ldc), unit))
            code.store_all(code.splat(0.0), place)
        with each_group(code, width, group) as (first, vectors):
            column = b.mul(first, code.integer(simd.lanes))
            start = code.address(panel, b.mul(column, K))
            b.call(product, [code.address(C_row, column), ldc, A_row, lda, start, K, rows, vectors])
    b.ret_void()


def _accumulate(module: ir.Module, simd: SimdType, product: ir.Function) -> None:
    """Add accumulate(C, ldc, A, lda, X, ldx, N, M, width, group, panel).

    C is [M, width up to whole vectors], A [N, M], X [N, width].
    """
    function = ir.Function(module, ACCUMULATE, "accumulate")
    code = Code(function, simd)
    b, zero = code.builder, code.integer(0)
    C, ldc, A, lda, X, ldx, N, M, width, group, panel = function.args
    step = code.integer(ACCUMULATE_ROWS)
    with code.loop(zero, N, step) as row:
        rows = code.minimum(step, b.sub(N, row))
        A_row, X_row = code.address(A, b.mul(row, lda)), code.address(X, b.mul(row, ldx))
        with each_group(code, width, group) as (first, vectors):
            column = b.mul(first, code.integer(simd.lanes))
            with code.loop(zero, vectors) as vector:
                place = b.mul(vector, code.integer(simd.lanes))
                unit = b.add(column, place)
                mask = code.lanes_below(unit, width)
                with code.loop(zero, rows) as k:
                    value = code.load(code.address(X_row, b.add(b.mul(k, ldx), unit)), mask)
                    length = b.mul(vectors, code.integer(simd.lanes))
                    code.store_all(value, code.address(panel, b.add(b.mul(k, length), place)))
            b.call(product, [code.address(C, column), ldc, A_row, lda, panel, rows, M, vectors])
    b.ret_void()


def _any_width(module: ir.Module, simd: SimdType, name: str, transposed: bool) -> ir.Function:
    """Add the function name(C, ldc, A, lda, panel, K, rows, G); transposed, A is [K, rows]."""
    by_vectors = {
        vectors: _product(module, simd, name, vectors, transposed) for vectors in TILE_ROWS
    }
    function = ir.Function(module, TYPE, name)
    code = Code(function, simd)
    b = code.builder
    done = b.append_basic_block("done")
    choice = b.switch(function.args[7], done)
    for vectors, callee in by_vectors.items():
        block = b.append_basic_block(f"vectors{vectors}")
        choice.add_case(code.integer(vectors), block)
        b.position_at_end(block)
        b.call(callee, function.args[:7])
        b.branch(done)
    b.position_at_end(done)
    b.ret_void()
    return function


def _function(module: ir.Module, name: str, types: list[ir.Type]) -> ir.Function:
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), name)
    function.linkage = "internal"
    return function


def _product(
    module: ir.Module, simd: SimdType, name: str, vectors: int, transposed: bool
) -> ir.Function:
    """Add the product for G vectors: rows are dealt out evenly, at most TILE_ROWS[G] a tile."""
    types = [POINTER, I64, POINTER, I64, POINTER, I64, I64]
    function = _function(module, f"{name}_{vectors}", types)
    code = Code(function, simd)
    b = code.builder
    C, ldc, A, lda, panel, K, rows = function.args
    tile_rows = TILE_ROWS[vectors]
    entry = b.block
    head, body, done = (b.append_basic_block(n) for n in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    row = b.phi(I64)
    row.add_incoming(code.integer(0), entry)
    left = b.sub(rows, row)
    b.cbranch(b.icmp_signed(">", left, code.integer(0)), body, done)
    b.position_at_end(body)
    tiles = b.udiv(b.add(left, code.integer(tile_rows - 1)), code.integer(tile_rows))
    height = b.udiv(b.sub(b.add(left, tiles), code.integer(1)), tiles)
    C_row = code.address(C, b.mul(row, ldc))
    A_row = code.address(A, row if transposed else b.mul(row, lda))
    joined = b.append_basic_block("joined")
    choice = b.switch(height, done)
    for count in range(1, tile_rows + 1):
        block = b.append_basic_block(f"rows{count}")
        choice.add_case(code.integer(count), block)
        b.position_at_end(block)
        _tile(code, count, vectors, C_row, ldc, A_row, lda, panel, K, transposed)
        b.branch(joined)
    b.position_at_end(joined)
    row.add_incoming(b.add(row, height), b.block)
    b.branch(head)
    b.position_at_end(done)
    b.ret_void()
    return function


def _tile(
    code: Code,
    rows: int,
    vectors: int,
    C: ir.Value,
    ldc: ir.Value,
    A: ir.Value,
    lda: ir.Value,
    panel: ir.Value,
    K: ir.Value,
    transposed: bool,
) -> None:
    """Write the product for one tile of that many rows and vectors."""
    b, lanes = code.builder, code.simd.lanes
    places = [
        code.address(C, b.add(b.mul(ldc, code.integer(r)), code.integer(v * lanes)))
        for r in range(rows)
        for v in range(vectors)
    ]
    one = code.integer(1)
    row_stride, k_stride = (one, lda) if transposed else (lda, one)
    starts = [code.address(A, b.mul(row_stride, code.integer(r))) for r in range(rows)]
    sums = [code.load_all(place) for place in places]
    with code.loop_carrying(code.integer(0), K, sums) as (k, carried, after):
        line = code.address(panel, b.mul(k, code.integer(vectors * lanes)))
        columns = [
            code.load_all(code.address(line, code.integer(v * lanes))) for v in range(vectors)
        ]
        for r in range(rows):
            number = code.load_broadcast(code.address(starts[r], b.mul(k, k_stride)))
            for v in range(vectors):
                place = r * vectors + v
                carried[place] = code.fma(number, columns[v], carried[place])
    for place, total in zip(places, after, strict=True):
        code.store_all(total, place)


def pack_rows(
    code: Code,
    panel: ir.Value,
    matrix: ir.Value,
    first_rows: list[ir.Value],
    ld: ir.Value,
    K: ir.Value,
    width: ir.Value,
    group: ir.Value,
) -> None:
    """Pack blocks of a matrix [.., K]: its rows are units. Panels are [group][K][block][vector].

    It transposes squares of lanes × lanes numbers.
    """
    b, zero = code.builder, code.integer(0)
    lanes, count = code.integer(code.simd.lanes), code.integer(len(first_rows))
    with each_group(code, width, group) as (first, vectors):
        start = b.mul(b.mul(first, lanes), b.mul(count, K))
        stride = b.mul(b.mul(vectors, lanes), count)
        for index, first_row in enumerate(first_rows):
            with code.loop(zero, vectors) as vector:
                unit = b.mul(b.add(first, vector), lanes)
                row = b.mul(b.add(first_row, unit), ld)
                block = b.add(b.mul(vectors, code.integer(index)), vector)
                to = b.add(start, b.mul(block, lanes))
                with code.loop(zero, K, lanes) as k:
                    mask = code.lanes_below(k, K)
                    source = b.add(row, k)
                    square = []
                    for lane in range(code.simd.lanes):
                        there = b.icmp_signed("<", b.add(unit, code.integer(lane)), width)
                        row_mask = b.select(there, mask, ir.Constant(mask.type, None))
                        place = b.add(source, b.mul(ld, code.integer(lane)))
                        square.append(code.load(code.address(matrix, place), row_mask))
                    for lane, column in enumerate(code.transpose(square)):
                        with b.if_then(b.icmp_signed("<", b.add(k, code.integer(lane)), K)):
                            place = b.add(to, b.mul(b.add(k, code.integer(lane)), stride))
                            code.store_all(column, code.address(panel, place))


def pack_columns(
    code: Code,
    panel: ir.Value,
    matrix: ir.Value,
    first_rows: list[ir.Value],
    ld: ir.Value,
    height: ir.Value,
    width: ir.Value,
    group: ir.Value,
) -> None:
    """Pack blocks of a matrix: its columns are units, K runs over all rows of all blocks.

    Panels are [group][block][height][vector].
    """
    b, lanes = code.builder, code.integer(code.simd.lanes)
    K = b.mul(height, code.integer(len(first_rows)))
    with each_group(code, width, group) as (first, vectors):
        start = b.mul(b.mul(first, lanes), K)
        stride = b.mul(vectors, lanes)
        for index, first_row in enumerate(first_rows):
            with code.loop(code.integer(0), vectors) as vector:
                unit = b.mul(b.add(first, vector), lanes)
                mask = code.lanes_below(unit, width)
                before = b.mul(height, code.integer(index))
                with code.loop(code.integer(0), height) as k:
                    source = b.add(b.mul(b.add(first_row, k), ld), unit)
                    value = code.load(code.address(matrix, source), mask)
                    to = b.add(b.mul(b.add(before, k), stride), b.mul(vector, lanes))
                    code.store_all(value, code.address(panel, b.add(start, to)))


@contextmanager
def each_group(code: Code, width: ir.Value, group: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Loop over groups of vectors of units: yield a group's first vector and its size."""
    b, lanes = code.builder, code.simd.lanes
    blocks = b.sdiv(b.add(width, code.integer(lanes - 1)), code.integer(lanes))
    with code.loop(code.integer(0), blocks, group) as first:
        yield first, code.minimum(group, b.sub(blocks, first))
