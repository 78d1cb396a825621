"""From the pixels of an image to the floats of a blob: the loops of `caffepy.cpu.transform`.

x is (C, H, W) or, a word for each pixel, (H, W), C-contiguous; what begins at its ``row`` and ``column`` fills ``out``,
(C, h, w). A mean image (C, H', W') is read from ``mean_row`` and ``mean_column`` on. Nothing is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = ["planes", "planes_image_mean", "words", "words_image_mean"]


# An unsigned index cannot be negative, so numba adds no test for wrapping round and the mirrored loops vectorise too.
@kernel
def planes(
    x: NDArray[Any],
    row: int,
    column: int,
    mirror: bool,
    offset: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    """``(x - offset[c]) * scale``, mirrored where asked for."""
    channels, height, width = out.shape
    end = np.uintp(width - 1)
    for c in range(channels):
        less = offset[c]
        for i in range(height):
            pixels, floats = x[c, row + i, column : column + width], out[c, i]
            if mirror:
                for j in range(width):
                    floats[j] = (np.float32(pixels[end - np.uintp(j)]) - less) * scale
            else:
                for j in range(width):
                    floats[j] = (np.float32(pixels[j]) - less) * scale


@kernel
def planes_image_mean(
    x: NDArray[Any],
    row: int,
    column: int,
    mirror: bool,
    mean: NDArray[np.float32],
    mean_row: int,
    mean_column: int,
    shift: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    """``(x - mean + shift[c]) * scale``, mirrored where asked for."""
    channels, height, width = out.shape
    end = np.uintp(width - 1)
    for c in range(channels):
        more = shift[c]
        for i in range(height):
            pixels, floats = x[c, row + i, column : column + width], out[c, i]
            less = mean[c, mean_row + i, mean_column : mean_column + width]
            if mirror:
                for j in range(width):
                    k = end - np.uintp(j)
                    floats[j] = (np.float32(pixels[k]) - less[k] + more) * scale
            else:
                for j in range(width):
                    floats[j] = (np.float32(pixels[j]) - less[j] + more) * scale


@kernel
def _level(word: np.uint32, bits: int) -> np.float32:
    return np.float32(np.int32((word >> np.uint32(bits)) & np.uint32(255)))


# A word is read once for its three floats. Of an image in the cache three passes took 1.27 times as long, and
# 1.13 times where two threads wrote at once.
@kernel
def words(
    x: NDArray[np.uint32],
    row: int,
    column: int,
    mirror: bool,
    offset: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    """As `planes`; of a word the third byte is channel 0, the lowest channel 2."""
    _, height, width = out.shape
    end = np.uintp(width - 1)
    less_blue, less_green, less_red = offset[0], offset[1], offset[2]
    for i in range(height):
        pixels = x[row + i, column : column + width]
        blue, green, red = out[0, i], out[1, i], out[2, i]
        if mirror:
            for j in range(width):
                word = pixels[end - np.uintp(j)]
                blue[j] = (_level(word, 16) - less_blue) * scale
                green[j] = (_level(word, 8) - less_green) * scale
                red[j] = (_level(word, 0) - less_red) * scale
        else:
            for j in range(width):
                word = pixels[j]
                blue[j] = (_level(word, 16) - less_blue) * scale
                green[j] = (_level(word, 8) - less_green) * scale
                red[j] = (_level(word, 0) - less_red) * scale


@kernel
def _turn(row: NDArray[np.uint32], turned: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The row in mirrored order: read once backwards, where three passes would each do so."""
    end = np.uintp(row.size - 1)
    for j in range(row.size):
        turned[j] = row[end - np.uintp(j)]
    return turned


@kernel
def words_image_mean(
    x: NDArray[np.uint32],
    row: int,
    column: int,
    mirror: bool,
    mean: NDArray[np.float32],
    mean_row: int,
    mean_column: int,
    shift: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    """As `planes_image_mean`, of words."""
    _, height, width = out.shape
    end = np.uintp(width - 1)
    turned = np.empty(width, np.uint32)
    for i in range(height):
        pixels = x[row + i, column : column + width]
        if mirror:
            pixels = _turn(pixels, turned)
        for c in range(3):
            bits, more, floats = 16 - 8 * c, shift[c], out[c, i]
            less = mean[c, mean_row + i, mean_column : mean_column + width]
            if mirror:
                for j in range(width):
                    floats[j] = (_level(pixels[j], bits) - less[end - np.uintp(j)] + more) * scale
            else:
                for j in range(width):
                    floats[j] = (_level(pixels[j], bits) - less[j] + more) * scale
