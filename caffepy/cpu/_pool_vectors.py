"""Eight windows of pooling at a time, and rows of an image moved in eights; see _simd.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from caffepy.cpu._simd import LANES, Generate, Vectors, intrinsic_of

__all__ = ["copy8", "given8", "greatest8", "sum8"]

_NUMBER = ir.IntType(32)


def _numbers(value: int) -> Any:
    return ir.Constant(ir.VectorType(_NUMBER, LANES), [ir.Constant(_NUMBER, value)] * LANES)


def _taps(vectors: Vectors, corner: Any, pitch: Any, height: int, width: int, stride: int) -> list[Any]:
    """The values of eight windows that begin ``stride`` apart, row by row; nothing is read beyond the last of them."""
    taps = []
    for _ in range(height):
        for j in range(width):
            if stride == 1:
                taps.append(vectors.load(vectors.after(corner, j)))
                continue
            # Of sixteen numbers the first, third, ... or, where that would be one too many, those behind a number less.
            odd = j % 2 or j == width - 1
            two = [vectors.load(vectors.after(corner, j - odd + LANES * half)) for half in range(2)]
            taps.append(vectors.shuffle(two[0], two[1], range(odd, 2 * LANES, 2)))
        corner = vectors.after(corner, pitch)
    return taps


@intrinsic_of
def greatest8(
    _: Any, height: Any, width: Any, stride: Any, src: Any, s0: Any, pitch: Any, dst: Any, d0: Any, chosen: Any, c0: Any
) -> tuple[Any, Generate]:
    """The first greatest value of eight windows to ``dst[d0]`` on, its number in the window to ``chosen[c0]`` on.

    ``src[s0]`` is the first window's corner, ``pitch`` the distance of rows. Where nothing is above -FLT_MAX that is
    the value, and the greatest number there is the number. The first three are constants.
    """
    sizes = [n.literal_value for n in (height, width, stride)]
    whole = types.intp

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, s0, pitch, dst, d0, chosen, c0 = arguments[3:]
        vectors = Vectors(context, builder, signature.args[3])
        lowest = ir.Constant(vectors.scalar, float(-np.finfo(np.float32).max))
        best = ir.Constant(vectors.type, [lowest] * LANES)
        number = _numbers(-1)
        corner = vectors.start(signature.args[3], src, s0)
        for i, value in enumerate(_taps(vectors, corner, pitch, *sizes)):
            above = builder.fcmp_ordered(">", value, best)
            best, number = builder.select(above, value, best), builder.select(above, _numbers(i), number)
        vectors.store(best, vectors.start(signature.args[6], dst, d0))
        kind = context.get_value_type(signature.args[8].dtype)
        small = number if kind.width == _NUMBER.width else builder.trunc(number, ir.VectorType(kind, LANES))
        pointer = vectors.start(signature.args[8], chosen, c0)
        builder.store(small, builder.bitcast(pointer, small.type.as_pointer())).align = kind.width // 8
        return context.get_dummy_value()

    return types.void(height, width, stride, src, whole, whole, dst, whole, chosen, whole), generate


@intrinsic_of
def sum8(
    _: Any, height: Any, width: Any, stride: Any, src: Any, s0: Any, pitch: Any, dst: Any, d0: Any
) -> tuple[Any, Generate]:
    """The sums of eight windows to ``dst[d0]`` on; the arguments are those of `greatest8`."""
    sizes = [n.literal_value for n in (height, width, stride)]
    whole = types.intp

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, s0, pitch, dst, d0 = arguments[3:]
        vectors = Vectors(context, builder, signature.args[3])
        taps = _taps(vectors, vectors.start(signature.args[3], src, s0), pitch, *sizes)
        total = taps[0]
        for value in taps[1:]:
            total = builder.fadd(total, value)
        vectors.store(total, vectors.start(signature.args[6], dst, d0))
        return context.get_dummy_value()

    return types.void(height, width, stride, src, whole, whole, dst, whole), generate


@intrinsic_of
def given8(
    _: Any, height: Any, width: Any, src: Any, chosen: Any, s0: Any, pitch: Any, dst: Any, d0: Any
) -> tuple[Any, Generate]:
    """The reverse of `greatest8` with stride 1, to ``dst[d0]`` on: sums of those gradients that chose this place.

    Eight windows of ``src`` and ``chosen`` are looked at, whose corners are at ``s0``: all that can have chosen it, the
    one with the highest number first. The first two arguments are constants.
    """
    high, wide = height.literal_value, width.literal_value
    whole = types.intp

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, chosen, s0, pitch, dst, d0 = arguments[2:]
        vectors = Vectors(context, builder, signature.args[2])
        corner, number = vectors.start(signature.args[2], src, s0), vectors.start(signature.args[3], chosen, s0)
        kind = context.get_value_type(signature.args[3].dtype)
        numbers = ir.VectorType(kind, LANES)
        total = vectors.zero
        for i in range(high):
            for j in range(wide):
                here = builder.load(builder.bitcast(vectors.after(number, j), numbers.as_pointer()))
                here.align = kind.width // 8
                own = ir.Constant(numbers, [ir.Constant(kind, high * wide - 1 - i * wide - j)] * LANES)
                grad = vectors.load(vectors.after(corner, j))
                total = builder.fadd(total, builder.select(builder.icmp_unsigned("==", here, own), grad, vectors.zero))
            corner, number = vectors.after(corner, pitch), vectors.after(number, pitch)
        vectors.store(total, vectors.start(signature.args[6], dst, d0))
        return context.get_dummy_value()

    return types.void(height, width, src, chosen, whole, whole, dst, whole), generate


@intrinsic_of
def copy8(_: Any, src: Any, s0: Any, dst: Any, d0: Any) -> tuple[Any, Generate]:
    """``dst[d0 + i] = src[s0 + i]`` for i below 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        src, s0, dst, d0 = arguments
        vectors = Vectors(context, builder, signature.args[0])
        values = vectors.load(vectors.start(signature.args[0], src, s0))
        vectors.store(values, vectors.start(signature.args[2], dst, d0))
        return context.get_dummy_value()

    return types.void(src, types.intp, dst, types.intp), generate
