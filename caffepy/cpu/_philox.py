"""Philox4x32-10 inside kernels: the very bits of `caffepy.random.Stream`, one block of four words at a time."""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = ["philox_block", "philox_blocks"]

_MULTIPLIER0 = np.uint64(0xD2511F53)
_MULTIPLIER1 = np.uint64(0xCD9E8D57)
_WEYL0 = np.uint64(0x9E3779B9)
_WEYL1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@kernel
def philox_block(
    block: np.uint64, step: np.uint64, key0: np.uint64, key1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Words ``4 * block`` to ``4 * block + 3`` of ``step``, each below 2^32.

    All arguments are uint64, the key's words below 2^32: numba makes a float of a sum of signed and unsigned numbers.
    """
    c0, c1 = block & _LOW, block >> _HALF
    c2, c3 = step & _LOW, step >> _HALF
    for _ in range(10):
        product0 = _MULTIPLIER0 * c0
        product1 = _MULTIPLIER1 * c2
        c0 = (product1 >> _HALF) ^ c1 ^ key0
        c1 = product1 & _LOW
        c2 = (product0 >> _HALF) ^ c3 ^ key1
        c3 = product0 & _LOW
        key0 = (key0 + _WEYL0) & _LOW
        key1 = (key1 + _WEYL1) & _LOW
    return c0, c1, c2, c3


@kernel
def philox_blocks(first: int, step: np.uint64, key0: np.uint64, key1: np.uint64, out: Array) -> None:
    """Blocks ``first`` and on into the columns of ``out`` (4, n), uint32: row by row the vector units can be used."""
    for i in range(out.shape[1]):
        words = philox_block(np.uint64(first + i), step, key0, key1)
        out[0, i] = words[0]
        out[1, i] = words[1]
        out[2, i] = words[2]
        out[3, i] = words[3]
