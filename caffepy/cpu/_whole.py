"""Whole numbers that blobs hold as floats: labels."""

from __future__ import annotations

from caffepy.cpu._jit import kernel

__all__ = ["whole"]


@kernel
def whole(value: float) -> int:
    """``value`` without its fraction; the least that 32 bits hold, which is no class, where there is no such number.

    NaN as a whole number could be anything, a class too.
    """
    return int(value) if abs(value) < 2147483648 else -2147483648
