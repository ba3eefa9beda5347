"""LLVM code, line by line: loops, masked vectors, and the functions that gates are made of.

A vector fills one register with values of neighbouring units. The functions of float32 are rational
approximations with relative errors near 1e-7, fitted on the interval in which the function is not
yet constant; those of float64 call the C library.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)

#: tanh(x) / x as P(x²) / Q(x²) for |x| <= 9; relative error 2e-8.
TANH_P = (0.9999999794944241, 0.13381039137456757, 0.003495603394662142,
          2.0609303566559485e-05, 1.335491335128742e-08)  # fmt: skip
TANH_Q = (1.0, 0.4671435475939136, 0.025877042258557588, 0.00032856584811686196,
          7.776672871557612e-07)  # fmt: skip
#: log(1 + x) / x as P(x) / Q(x) for 0 <= x <= 1; relative error 1e-9.
LOG1P_P = (0.9999999990599101, 1.0662179610269895, 0.23815723957582396, 0.003417273571304641)
LOG1P_Q = (1.0, 1.5662178304872088, 0.6879357482652585, 0.07528717465357614)
#: exp(x) for |x| <= log(2) / 2: the Taylor series; relative error 5e-9.
EXP_P = tuple(1 / math.factorial(n) for n in range(8))


@dataclass(frozen=True)
class SimdType:
    """A float type and the vectors of it that fill a register."""

    double: bool
    lanes: int

    @property
    def scalar(self) -> ir.Type:
        return ir.DoubleType() if self.double else ir.FloatType()

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(self.scalar, self.lanes)

    @property
    def bytes(self) -> int:
        return 8 if self.double else 4

    @property
    def suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.bytes}"


class Code:
    """A writer of one LLVM function."""

    def __init__(self, function: ir.Function, simd: SimdType) -> None:
        self.function, self.simd = function, simd
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))

    def integer(self, value: int) -> ir.Constant:
        return ir.Constant(I64, value)

    def splat(self, value: float) -> ir.Constant:
        return ir.Constant(self.simd.vector, [value] * self.simd.lanes)

    @contextmanager
    def loop(
        self, start: ir.Value, stop: ir.Value, step: ir.Value | None = None
    ) -> Iterator[ir.Value]:
        """Count from start to below stop."""
        with self.loop_carrying(start, stop, [], step) as (counter, _, _):
            yield counter

    @contextmanager
    def loop_carrying(
        self,
        start: ir.Value,
        stop: ir.Value,
        values: Sequence[ir.Value],
        step: ir.Value | None = None,
    ) -> Iterator[tuple[ir.Value, list[ir.Value], list[ir.Value]]]:
        """Count from start to below stop, and carry values from one iteration to the next.

        Yields the counter, the carried values, and an empty list. The body replaces entries of the
        first list; after the loop, the second list holds the last values.
        """
        b = self.builder
        before = b.block
        head, body, behind = (b.append_basic_block(n) for n in ("head", "body", "behind"))
        b.branch(head)
        b.position_at_end(head)
        counter = b.phi(I64)
        counter.add_incoming(start, before)
        phis = [b.phi(value.type) for value in values]
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<", counter, stop), body, behind)
        b.position_at_end(body)
        carried: list[ir.Value] = list(phis)
        after: list[ir.Value] = []
        yield counter, carried, after
        counter.add_incoming(b.add(counter, step or self.integer(1)), b.block)
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(head)
        b.position_at_end(behind)
        after.extend(phis)

    def minimum(self, one: ir.Value, other: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_signed("<", one, other), one, other)

    def address(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        """Return the address of a number of an array."""
        return self.builder.gep(pointer, [index], source_etype=self.simd.scalar)

    def _masked(self, operation: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
        name = f"llvm.masked.{operation}.{self.simd.suffix}.p0"
        return self.call(name, result, arguments)

    def call(self, name: str, result: ir.Type, arguments: Sequence[ir.Value]) -> ir.Value:
        module = self.function.module
        known = module.globals.get(name)
        if known is None:
            known = ir.Function(module, ir.FunctionType(result, [a.type for a in arguments]), name)
        return self.builder.call(known, arguments)

    def load(self, pointer: ir.Value, mask: ir.Value) -> ir.Value:
        """Return a vector from memory, zero where the mask is off."""
        align = ir.Constant(I32, self.simd.bytes)
        arguments = [pointer, align, mask, self.splat(0.0)]
        return self._masked("load", self.simd.vector, arguments)

    def store(self, value: ir.Value, pointer: ir.Value, mask: ir.Value) -> None:
        align = ir.Constant(I32, self.simd.bytes)
        self._masked("store", ir.VoidType(), [value, pointer, align, mask])

    def load_all(self, pointer: ir.Value) -> ir.Value:
        return self.builder.load(pointer, align=self.simd.bytes, typ=self.simd.vector)

    def store_all(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, pointer, align=self.simd.bytes)

    def lane_sum(self, vector: ir.Value) -> ir.Value:
        """Return the sum over all lanes."""
        b, lanes = self.builder, self.simd.lanes
        while lanes > 1:
            lanes //= 2
            undefined = ir.Constant(vector.type, ir.Undefined)
            low, high = (
                ir.Constant(ir.VectorType(I32, lanes), list(range(start, start + lanes)))
                for start in (0, lanes)
            )
            halves = (b.shuffle_vector(vector, undefined, half) for half in (low, high))
            vector = b.fadd(*halves)
        return b.extract_element(vector, ir.Constant(I32, 0))

    def load_broadcast(self, pointer: ir.Value) -> ir.Value:
        """Return a vector with the number at an address in every lane."""
        return self.broadcast(self.builder.load(pointer, typ=self.simd.scalar))

    def broadcast(self, number: ir.Value) -> ir.Value:
        """Return a vector with a number in every lane."""
        b = self.builder
        undefined = ir.Constant(self.simd.vector, ir.Undefined)
        one = b.insert_element(undefined, number, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, self.simd.lanes), [0] * self.simd.lanes)
        return b.shuffle_vector(one, undefined, zeros)

    def transpose(self, rows: Sequence[ir.Value]) -> list[ir.Value]:
        """Return the columns of a square matrix, given its rows: as many vectors as lanes."""
        b, lanes, found = self.builder, self.simd.lanes, list(rows)
        apart = 1
        while apart < lanes:  # swap the squares beside the diagonal: of size 1, then 2, then 4
            low = [lane if not lane & apart else lanes + lane - apart for lane in range(lanes)]
            masks = [
                ir.Constant(ir.VectorType(I32, lanes), [lane + shift for lane in low])
                for shift in (0, apart)
            ]
            for row in range(lanes):
                if not row & apart:
                    pair = found[row], found[row + apart]
                    found[row], found[row + apart] = (
                        b.shuffle_vector(*pair, mask) for mask in masks
                    )
            apart *= 2
        return found

    def lanes_below(self, first: ir.Value, width: ir.Value) -> ir.Value:
        """Return the mask of the lanes whose unit is below width; lane 0 is unit `first`."""
        b, lanes = self.builder, self.simd.lanes
        type_ = ir.VectorType(I64, lanes)
        undefined = ir.Constant(type_, ir.Undefined)
        left = b.insert_element(undefined, b.sub(width, first), ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        spread = b.shuffle_vector(left, undefined, zeros)
        return b.icmp_signed("<", ir.Constant(type_, list(range(lanes))), spread)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.call(f"llvm.fma.{self.simd.suffix}", self.simd.vector, [x, y, z])

    def _polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        total: ir.Value = self.splat(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = self.fma(total, x, self.splat(coefficient))
        return total

    def _clamped(self, x: ir.Value, limit: float) -> ir.Value:
        """Return x limited to [-limit, limit]; NaN stays NaN."""
        b = self.builder
        high, low = self.splat(limit), self.splat(-limit)
        x = b.select(b.fcmp_ordered(">", x, high), high, x)
        return b.select(b.fcmp_ordered("<", x, low), low, x)

    def _call_libm(self, name: str, x: ir.Value) -> ir.Value:
        """Return a function of the C library of each lane."""
        b, result = self.builder, ir.Constant(self.simd.vector, ir.Undefined)
        for lane in range(self.simd.lanes):
            index = ir.Constant(I32, lane)
            value = self.call(name, self.simd.scalar, [b.extract_element(x, index)])
            result = b.insert_element(result, value, index)
        return result

    def exp(self, x: ir.Value) -> ir.Value:
        if self.simd.double:
            return self._call_libm("exp", x)
        b = self.builder
        low = self.splat(-87.0)
        tiny = b.fcmp_ordered("<", x, low)
        high = self.splat(88.5)
        x = b.select(tiny, low, b.select(b.fcmp_ordered(">", x, high), high, x))
        name = f"llvm.rint.{self.simd.suffix}"
        scaled = b.fmul(x, self.splat(1 / math.log(2)))
        n = self.call(name, self.simd.vector, [scaled])
        r = self.fma(n, self.splat(-0.693359375), x)  # log(2) in two parts
        r = self.fma(n, self.splat(0.693359375 - math.log(2)), r)
        whole = b.fptosi(n, ir.VectorType(I32, self.simd.lanes))
        bits = b.shl(b.add(whole, _ints(127, self.simd.lanes)), _ints(23, self.simd.lanes))
        power = b.bitcast(bits, self.simd.vector)
        return b.select(tiny, self.splat(0.0), b.fmul(self._polynomial(r, EXP_P), power))

    def tanh(self, x: ir.Value) -> ir.Value:
        if self.simd.double:
            return self._call_libm("tanh", x)
        b = self.builder
        x = self._clamped(x, 9.0)
        square = b.fmul(x, x)
        above = b.fmul(x, self._polynomial(square, TANH_P))
        return b.fdiv(above, self._polynomial(square, TANH_Q))

    def sigmoid(self, x: ir.Value) -> ir.Value:
        b = self.builder
        one = self.splat(1.0)
        return b.fdiv(one, b.fadd(one, self.exp(b.fneg(x))))

    def log_sigmoid(self, x: ir.Value) -> ir.Value:
        """Return min(x, 0) - log(1 + exp(-|x|))."""
        b, zero = self.builder, self.splat(0.0)
        negative = b.fcmp_ordered("<", x, zero)
        e = self.exp(b.select(negative, x, b.fneg(x)))
        if self.simd.double:
            log = self._call_libm("log1p", e)
        else:
            quotient = b.fdiv(self._polynomial(e, LOG1P_P), self._polynomial(e, LOG1P_Q))
            log = b.fmul(e, quotient)
        return b.fsub(b.select(b.fcmp_ordered(">", x, zero), zero, x), log)

    def where_positive(self, x: ir.Value, value: ir.Value) -> ir.Value:
        """Return the value where x > 0, and zero elsewhere."""
        zero = self.splat(0.0)
        return self.builder.select(self.builder.fcmp_ordered(">", x, zero), value, zero)


def _ints(value: int, lanes: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, lanes), [value] * lanes)
