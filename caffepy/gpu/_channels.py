"""How blocks of threads share the channels of arrays (outer, channels, inner)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["Channels"]

#: `Channels` of _channels.cuh.
_NUMBERS = np.dtype([(name, np.int32) for name in ("outer", "channels", "inner", "pieces")])

# Values that a block has, at least, and blocks that keep a GPU busy.
_LEAST = 4096
_BUSY = 1024
# A block adds up the sums of all pieces of its channel.
_MOST_PIECES = 64


class Channels:
    """The values of each channel, in pieces; how many depends on the shape alone, so sums are the same on any GPU.

    Attributes:
        numbers: as kernels take them.
        pieces: of each channel.
        blocks: one for each piece.
        empty: whether there is nothing to do.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        outer, channels, inner = shape
        count = outer * inner
        self.pieces = max(1, min(count // _LEAST, -(-_BUSY // max(channels, 1)), _MOST_PIECES))
        self.blocks = channels * self.pieces
        self.empty = math.prod(shape) == 0
        self.numbers: Any = np.array([(*shape, self.pieces)], _NUMBERS)[0]
