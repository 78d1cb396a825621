"""Eight numbers at a time: the words in which kernels say what a compiler does not find by itself.

Kernels call these with flat arrays and positions in them, which nothing checks. Each is a few instructions of LLVM on
vectors of `LANES` numbers; LLVM makes of them what the processor has, be it one register of eight or four of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["LANES", "Vectors", "finish8", "intrinsic_of", "join4", "multiply_add", "scale8", "transpose8"]

#: Numbers in a vector.
LANES = 8

_INDEX = ir.IntType(32)
# A product and a sum may become one instruction; nothing else is reordered.
_FUSED = ("contract",)

Generate = Callable[[Any, Any, Any, Any], Any]


def intrinsic_of(define: Callable[..., Any]) -> Callable[..., None]:
    """An `intrinsic` whose whole numbers and words are known when it is compiled, where they are constants."""
    return cast(Callable[..., None], intrinsic(prefer_literal=True)(define))


class Vectors:
    """Loads from, stores to and sums of arrays of one type, as instructions of the function being built."""

    def __init__(self, context: Any, builder: Any, array: Any) -> None:
        self.builder = builder
        self.context = context
        self.scalar = context.get_value_type(array.dtype)
        self.type = ir.VectorType(self.scalar, LANES)
        self._align = array.dtype.bitwidth // 8
        self.zero = self.constant(0)

    def constant(self, value: Fraction | int) -> Any:
        """A vector of equal numbers."""
        return ir.Constant(self.type, [ir.Constant(self.scalar, float(value))] * LANES)

    def start(self, kind: Any, array: Any, position: Any) -> Any:
        """A pointer to a position of an array."""
        return self.builder.gep(self.context.make_array(kind)(self.context, self.builder, value=array).data, [position])

    def after(self, pointer: Any, step: Any) -> Any:
        return self.builder.gep(pointer, [ir.Constant(ir.IntType(64), step) if isinstance(step, int) else step])

    def load(self, pointer: Any, kind: Any = None) -> Any:
        value = self.builder.load(self.builder.bitcast(pointer, (kind or self.type).as_pointer()))
        value.align = self._align
        return value

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer())).align = self._align

    def spread(self, scalar: Any) -> Any:
        """A scalar in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(_INDEX, 0))
        return self.shuffle(one, undefined, [0] * LANES)

    def shuffle(self, a: Any, b: Any, places: Sequence[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, len(places)), list(places)))

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        return self.builder.fadd(total, self.builder.fmul(a, b, flags=_FUSED), flags=_FUSED)

    def dot(self, terms: Sequence[tuple[Fraction, Any]]) -> Any:
        """The sum of factors times vectors."""
        # The first is a factor of 1 where there is one: it costs nothing.
        ordered = sorted((term for term in terms if term[0]), key=lambda term: (abs(term[0]) != 1, term[0] < 0))
        total = None
        for factor, vector in ordered:
            if total is None:
                total = vector if factor == 1 else self.builder.fmul(vector, self.constant(factor))
            elif abs(factor) == 1:
                total = (self.builder.fadd if factor == 1 else self.builder.fsub)(total, vector, flags=_FUSED)
            else:
                total = self.multiply_add(vector, self.constant(factor), total)
        return self.zero if total is None else total

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Eight vectors, turned over in three steps of interleaving."""
        pairs = []
        for a, b in zip(rows[::2], rows[1::2], strict=True):
            pairs += [self.shuffle(a, b, [0, 8, 1, 9, 4, 12, 5, 13]), self.shuffle(a, b, [2, 10, 3, 11, 6, 14, 7, 15])]
        fours = []
        for a, b, c, d in (pairs[:4], pairs[4:]):
            for left, right in ((a, c), (b, d)):
                fours += [self.shuffle(left, right, [0, 1, 8, 9, 4, 5, 12, 13])]
                fours += [self.shuffle(left, right, [2, 3, 10, 11, 6, 7, 14, 15])]
        low, high = [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]
        return [self.shuffle(a, b, places) for places in (low, high) for a, b in zip(fours[:4], fours[4:], strict=True)]


@intrinsic_of
def transpose8(_: Any, src: Any, s0: Any, s_step: Any, dst: Any, d0: Any, d_step: Any) -> tuple[Any, Generate]:
    """``dst[d0 + i * d_step + j] = src[s0 + j * s_step + i]`` for i, j below 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, s0, s_step, dst, d0, d_step = arguments
        vectors = Vectors(context, builder, signature.args[0])
        source, target = vectors.start(signature.args[0], src, s0), vectors.start(signature.args[3], dst, d0)
        rows = []
        for _ in range(LANES):
            rows.append(vectors.load(source))
            source = vectors.after(source, s_step)
        for column in vectors.transpose(rows):
            vectors.store(column, target)
            target = vectors.after(target, d_step)
        return context.get_dummy_value()

    return types.void(src, types.intp, types.intp, dst, types.intp, types.intp), generate


@intrinsic_of
def finish8(
    _: Any, src: Any, s0: Any, bias: Any, b0: Any, slope: Any, dst: Any, d0: Any, d_step: Any
) -> tuple[Any, Generate]:
    """``dst[d0 + i * d_step + j] = f(src[s0 + 8 * j + i] + bias[b0 + i])``, f(v) = v where v > 0, else v * slope."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, s0, bias, b0, slope, dst, d0, d_step = arguments
        vectors = Vectors(context, builder, signature.args[0])
        source, target = vectors.start(signature.args[0], src, s0), vectors.start(signature.args[5], dst, d0)
        offset, factor = vectors.load(vectors.start(signature.args[2], bias, b0)), vectors.spread(slope)
        rows = []
        for j in range(LANES):
            value = builder.fadd(vectors.load(vectors.after(source, LANES * j)), offset)
            positive = builder.fcmp_ordered(">", value, vectors.zero)
            rows.append(builder.select(positive, value, builder.fmul(value, factor)))
        for column in vectors.transpose(rows):
            vectors.store(column, target)
            target = vectors.after(target, d_step)
        return context.get_dummy_value()

    return types.void(src, types.intp, bias, types.intp, src.dtype, dst, types.intp, types.intp), generate


@intrinsic_of
def scale8(_: Any, dst: Any, d0: Any, count: Any, factors: Any, f0: Any) -> tuple[Any, Generate]:
    """``dst[d0 + 8 * j + i] *= factors[f0 + i]`` for j below ``count`` and i below 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        dst, d0, count, factors, f0 = arguments
        vectors = Vectors(context, builder, signature.args[0])
        target = vectors.start(signature.args[0], dst, d0)
        factor = vectors.load(vectors.start(signature.args[3], factors, f0))
        with cgutils.for_range(builder, count) as loop:
            place = vectors.after(target, builder.mul(loop.index, ir.Constant(loop.index.type, LANES)))
            vectors.store(builder.fmul(vectors.load(place), factor), place)
        return context.get_dummy_value()

    return types.void(dst, types.intp, types.intp, factors, types.intp), generate


@intrinsic_of
def join4(_: Any, src: Any, low: Any, high: Any, dst: Any, d0: Any) -> tuple[Any, Generate]:
    """Eight numbers to ``dst[d0]``: four from ``src[low]`` on, four from ``src[high]`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, low, high, dst, d0 = arguments
        vectors = Vectors(context, builder, signature.args[0])
        half = ir.VectorType(vectors.scalar, LANES // 2)
        halves = [vectors.load(vectors.start(signature.args[0], src, at), half) for at in (low, high)]
        vectors.store(vectors.shuffle(halves[0], halves[1], range(LANES)), vectors.start(signature.args[3], dst, d0))
        return context.get_dummy_value()

    return types.void(src, types.intp, types.intp, dst, types.intp), generate


@intrinsic_of
def multiply_add(
    _: Any,
    rows: Any,
    columns: Any,
    unroll: Any,
    a_next: Any,
    a_row: Any,
    add: Any,
    count: Any,
    a: Any,
    a0: Any,
    a_step: Any,
    b: Any,
    b0: Any,
    b_step: Any,
    c: Any,
    c0: Any,
    c_step: Any,
) -> tuple[Any, Generate]:
    """A block of a product of matrices, kept in registers: for r below ``rows``, v below ``columns`` and all lanes l::

        c[c0 + v * c_step + 8 r + l] = sum over q below count, j below unroll of
            a[a0 + q * a_step + j * a_next + r * a_row] * b[b0 + v * b_step + 8 (q * unroll + j) + l]

    or that added to c where ``add``. The first five are constants.
    """
    height, width, steps, next_step, row_step = (n.literal_value for n in (rows, columns, unroll, a_next, a_row))
    whole = types.intp
    arrays = (a, whole, whole, b, whole, whole, c, whole, whole)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        add, count, a, a0, a_step, b, b0, b_step, c, c0, c_step = arguments[5:]
        vectors = Vectors(context, builder, signature.args[7])
        left, right = vectors.start(signature.args[7], a, a0), [vectors.start(signature.args[10], b, b0)]
        result = [vectors.start(signature.args[13], c, c0)]
        for _ in range(width - 1):
            right.append(vectors.after(right[-1], b_step))
            result.append(vectors.after(result[-1], c_step))
        cells = [(r, v) for r in range(height) for v in range(width)]
        totals: dict[Any, Any] = {}
        for cell in cells:
            totals[cell] = cgutils.alloca_once_value(builder, vectors.zero)  # type: ignore[no-untyped-call]
        with builder.if_then(add):
            for r, v in cells:
                builder.store(vectors.load(vectors.after(result[v], LANES * r)), totals[r, v])
        with cgutils.for_range(builder, count) as loop:
            base = vectors.after(left, builder.mul(loop.index, a_step))
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, LANES * steps))
            lines = [vectors.after(pointer, offset) for pointer in right]
            for j in range(steps):
                factors = [vectors.load(vectors.after(line, LANES * j)) for line in lines]
                for r in range(height):
                    one = vectors.spread(builder.load(vectors.after(base, j * next_step + r * row_step)))
                    for v in range(width):
                        total = builder.load(totals[r, v])
                        builder.store(vectors.multiply_add(one, factors[v], total), totals[r, v])
        for r, v in cells:
            vectors.store(builder.load(totals[r, v]), vectors.after(result[v], LANES * r))
        return context.get_dummy_value()

    constants = (rows, columns, unroll, a_next, a_row)
    return types.void(*constants, types.boolean, whole, *arrays), generate
