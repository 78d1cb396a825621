"""Planes as windows of pooling go through them: which have vector code, and what is copied before it runs.

Planes whose windows hang over the image, or that are too narrow to read eight windows in them, are staged: copied into
memory where each window is whole. Arrays are flat. An unsigned index cannot be negative, and numba then adds no test
for wrapping round.
"""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel
from caffepy.cpu._pool_vectors import copy8
from caffepy.cpu._simd import LANES

__all__ = ["Sizes", "reverse_sizes", "stage"]

Shape = tuple[int, ...]

#: Windows that have vector code: kernel and columns' stride.
_KINDS = {(2, 2, 2): 1, (3, 3, 2): 2, (3, 3, 1): 3}


class Sizes:
    """Windows over planes of ``x_shape`` that give planes of ``y_shape``.

    Attributes:
        numbers: as the kernels take them: height and width of the image, rows and columns of windows, height and width
            of a window, strides, padding, the distance of the rows that are read, whether planes are staged, the kind.
        memory: elements that a thread needs to stage a plane, and eight results.
        steps: how far from a window's corner its values lie in the plane, row by row.
        widths: of each column of windows, clipped to the padded image.
    """

    def __init__(self, x_shape: Shape, y_shape: Shape, window: Array) -> None:
        (kh, kw), (sh, sw), (ph, pw) = (tuple(int(n) for n in row) for row in window)
        height, width = x_shape[2:]
        rows, columns = y_shape[2:]
        if (kh, kw) == (height, width) and rows == columns == 1 and not (ph or pw):
            # The whole image: one long row.
            height, width, kh, kw = 1, height * width, 1, height * width
        high, wide = (rows - 1) * sh + kh, (columns - 1) * sw + kw
        kind = _KINDS.get((kh, kw, sw), 0)
        staged = ph > 0 or pw > 0 or high > height or wide > width or (kind > 0 and columns < LANES)
        pitch = wide if staged else width
        self.numbers = np.array([height, width, rows, columns, kh, kw, sh, sw, ph, pw, pitch, staged, kind], np.int64)
        # Eight windows at the end of the last row may read so far beyond it.
        self.memory = (high * wide + LANES * sw + kw if staged else 0) + LANES
        down, along = np.divmod(np.arange(kh * kw), kw)
        self.steps = (down * width + along).astype(np.int64)
        lefts = np.arange(columns) * sw - pw
        self.widths = np.minimum(lefts + kw, width + pw) - lefts


def reverse_sizes(x_shape: Shape, y_shape: Shape, window: Array) -> Sizes | None:
    """Windows over planes of dy that give planes of dx: all that a value was in; None where that has no vector code."""
    (kh, kw), (sh, sw), (ph, pw) = (tuple(int(n) for n in row) for row in window)
    if _KINDS.get((kh, kw, sw)) != 3 or sh != 1:
        return None
    return Sizes(y_shape, x_shape, np.array([(kh, kw), (1, 1), (kh - 1 - ph, kw - 1 - pw)]))


@kernel
def _copy(source: Array, start: np.uintp, target: Array, to: np.uintp, count: np.uintp) -> None:
    eight = np.uintp(LANES)
    if count < eight:
        for i in range(count):
            target[to + i] = source[start + i]
        return
    for i in range(np.uintp(0), count - eight, eight):
        copy8(source, start + i, target, to + i)
    copy8(source, start + count - eight, target, to + count - eight)


@kernel
def stage(x: Array, plane: int, sizes: Array, memory: Array) -> None:
    """The part of a plane that windows reach into ``memory``; what they reach beside it is left as it is."""
    height, width, ph, pw, pitch = sizes[0], sizes[1], sizes[8], sizes[9], sizes[10]
    bottom = min(height, (sizes[2] - 1) * sizes[6] + sizes[4] - ph)
    count = np.uintp(max(min(width, pitch - pw), 0))
    for row in range(bottom):
        start, to = np.uintp((plane * height + row) * width), np.uintp((row + ph) * pitch + pw)
        _copy(x, start, memory, to, count)
