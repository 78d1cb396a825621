"""CRC-32C (Castagnoli), which LevelDB's files carry; zlib's CRC-32 is of another polynomial.

A byte at a time is slow in Python. Long data is cut into lanes of equal length that are worked on together, one byte of
each at a time, and the lanes' sums are then joined: a CRC is linear, so that of a text and its continuation is that of
the text moved on by as many zero bytes, and that of the continuation from zero, added without carry.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["crc32c"]

Words: TypeAlias = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78
_LANES = 1024
_BITS = np.arange(32, dtype=np.uint32)


def _make_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _make_table()
_LIST: list[int] = _TABLE.tolist()


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``: 0xE3069283 of ``b"123456789"``."""
    state = 0xFFFFFFFF
    length = len(data) // _LANES
    if length >= 4:
        state = _long(np.frombuffer(data, np.uint8, _LANES * length).reshape(_LANES, length), state)
        data = data[_LANES * length :]
    for byte in data:
        state = _LIST[(state ^ byte) & 255] ^ state >> 8
    return state ^ 0xFFFFFFFF


def _long(lanes: NDArray[np.uint8], state: int) -> int:
    sums = np.zeros(len(lanes), np.uint32)
    sums[0] = state
    for column in np.ascontiguousarray(lanes.T):
        sums = _TABLE[(sums ^ column) & 255] ^ sums >> np.uint32(8)
    zeros = lanes.shape[1]
    while len(sums) > 1:
        sums = _apply(_moved_on(zeros), sums[0::2]) ^ sums[1::2]
        zeros *= 2
    return int(sums[0])


def _apply(columns: Words, values: Words) -> Words:
    """The product of a matrix of bits, a word for each column, with each of ``values``."""
    chosen = np.where(values[:, None] >> _BITS & 1, columns, np.uint32(0))
    product: Words = np.bitwise_xor.reduce(chosen, axis=1)
    return product


@lru_cache(maxsize=256)
def _moved_on(zeros: int) -> Words:
    """What ``zeros`` zero bytes do to a sum, as a matrix."""
    if zeros == 1:
        unit = np.uint32(1) << _BITS
        one: Words = _TABLE[unit & 255] ^ unit >> np.uint32(8)
        return one
    half = _moved_on(zeros // 2)
    both = _apply(half, half)
    return _apply(_moved_on(1), both) if zeros % 2 else both
