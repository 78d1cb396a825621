"""Images to columns and back: what turns a convolution into a product of matrices.

``cols`` is (C * prod(kernel), prod(output)), row by channel and kernel tap, column by output position. One dimension is
two with one row; more than two take the general kernels.
"""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = [
    "fold_2d",
    "fold_images_2d",
    "fold_images_nd",
    "fold_nd",
    "pack",
    "unfold_2d",
    "unfold_images_2d",
    "unfold_images_nd",
    "unfold_nd",
    "unpack",
]


# An unsigned index cannot be negative: numba adds no test for wrapping round, and the loops use the vector units.


@kernel
def unfold_2d(x: Array, window: Array, height: int, width: int, offset: int, cols: Array) -> None:
    """x (C, H, W) into ``height * width`` columns from number ``offset`` on.

    ``window`` (4, 2) is kernel, stride, pad and dilation of both axes.
    """
    channels, x_height, x_width = x.shape
    kernel_h, kernel_w = window[0]
    stride_h, stride_w = window[1]
    pad_h, pad_w = window[2]
    dilation_h, dilation_w = window[3]
    step, columns = np.uintp(stride_w), np.uintp(width)
    row = 0
    for c in range(channels):
        source = x[c].reshape(-1)
        for i in range(kernel_h):
            for j in range(kernel_w):
                target = cols[row]
                row += 1
                left = j * dilation_w - pad_w
                # Output columns whose tap lies inside the image: begin to end.
                begin = min(max((-left + stride_w - 1) // stride_w, 0), width)
                end = max(min((x_width - left + stride_w - 1) // stride_w, width), begin)
                before, after, inside = np.uintp(begin), np.uintp(end), np.uintp(end - begin)
                position = np.uintp(offset)
                for out_row in range(height):
                    in_row = out_row * stride_h - pad_h + i * dilation_h
                    if in_row < 0 or in_row >= x_height:
                        for column in range(columns):
                            target[position + column] = 0
                    else:
                        for column in range(before):
                            target[position + column] = 0
                        first = np.uintp(in_row * x_width + left + begin * stride_w)
                        to = position + before
                        if stride_w == 1:
                            for column in range(inside):
                                target[to + column] = source[first + column]
                        else:
                            for column in range(inside):
                                target[to + column] = source[first + column * step]
                        for column in range(after, columns):
                            target[position + column] = 0
                    position += columns


@kernel
def fold_2d(cols: Array, window: Array, height: int, width: int, x: Array, offset: int = 0) -> None:
    """The transpose of `unfold_2d`: x (C, H, W) is overwritten with the sums."""
    channels, x_height, x_width = x.shape
    kernel_h, kernel_w = window[0]
    stride_h, stride_w = window[1]
    pad_h, pad_w = window[2]
    dilation_h, dilation_w = window[3]
    step = np.uintp(stride_w)
    row = 0
    for c in range(channels):
        target = x[c].reshape(-1)
        target[:] = 0
        for i in range(kernel_h):
            for j in range(kernel_w):
                source = cols[row]
                row += 1
                left = j * dilation_w - pad_w
                begin = min(max((-left + stride_w - 1) // stride_w, 0), width)
                end = max(min((x_width - left + stride_w - 1) // stride_w, width), begin)
                inside = np.uintp(end - begin)
                for out_row in range(height):
                    in_row = out_row * stride_h - pad_h + i * dilation_h
                    if in_row >= 0 and in_row < x_height:
                        to = np.uintp(in_row * x_width + left + begin * stride_w)
                        first = np.uintp(offset + out_row * width + begin)
                        if stride_w == 1:
                            for column in range(inside):
                                target[to + column] += source[first + column]
                        else:
                            for column in range(inside):
                                target[to + column * step] += source[first + column]


@kernel
def unfold_nd(x: Array, x_shape: Array, y_shape: Array, window: Array, offset: int, cols: Array) -> None:
    """As `unfold_2d` for any number of axes; x (C, prod(x_shape)), window (4, axes)."""
    _walk(x, x_shape, y_shape, window, offset, cols, True)


@kernel
def fold_nd(cols: Array, x_shape: Array, y_shape: Array, window: Array, x: Array, offset: int = 0) -> None:
    """As `fold_2d` for any number of axes; x (C, prod(x_shape)) is overwritten."""
    x[:] = 0
    _walk(x, x_shape, y_shape, window, offset, cols, False)


@kernel
def _walk(x: Array, x_shape: Array, y_shape: Array, window: Array, offset: int, cols: Array, unfold: bool) -> None:
    axes = x_shape.size
    places = 1
    for axis in range(axes):
        places *= y_shape[axis]
    taps = 1
    for axis in range(axes):
        taps *= window[0, axis]
    tap = np.zeros(axes, np.int64)
    place = np.zeros(axes, np.int64)
    for row in range(cols.shape[0]):
        rest = row % taps
        for axis in range(axes - 1, -1, -1):
            tap[axis] = rest % window[0, axis]
            rest //= window[0, axis]
        channel = row // taps
        place[:] = 0
        for column in range(offset, offset + places):
            index = 0
            inside = True
            for axis in range(axes):
                position = place[axis] * window[1, axis] - window[2, axis] + tap[axis] * window[3, axis]
                inside = inside and position >= 0 and position < x_shape[axis]
                index = index * x_shape[axis] + position
            if unfold:
                cols[row, column] = x[channel, index] if inside else 0
            elif inside:
                x[channel, index] += cols[row, column]
            for axis in range(axes - 1, -1, -1):
                place[axis] += 1
                if place[axis] < y_shape[axis]:
                    break
                place[axis] = 0


@kernel
def unfold_images_2d(x: Array, first: int, last: int, window: Array, height: int, width: int, cols: Array) -> None:
    """Images ``first`` to ``last`` of x (N, C, H, W) side by side into ``cols``."""
    for n in range(first, last):
        unfold_2d(x[n], window, height, width, (n - first) * height * width, cols)


@kernel
def fold_images_2d(cols: Array, first: int, last: int, window: Array, height: int, width: int, x: Array) -> None:
    """The transpose of `unfold_images_2d`; those images are overwritten."""
    for n in range(first, last):
        fold_2d(cols, window, height, width, x[n], (n - first) * height * width)


@kernel
def unfold_images_nd(
    x: Array, first: int, last: int, x_shape: Array, y_shape: Array, window: Array, places: int, cols: Array
) -> None:
    """Images ``first`` to ``last`` of x (N, C, prod(x_shape)) side by side into ``cols``."""
    for n in range(first, last):
        unfold_nd(x[n], x_shape, y_shape, window, (n - first) * places, cols)


@kernel
def fold_images_nd(
    cols: Array, first: int, last: int, x_shape: Array, y_shape: Array, window: Array, places: int, x: Array
) -> None:
    """The transpose of `unfold_images_nd`; those images are overwritten."""
    for n in range(first, last):
        fold_nd(cols, x_shape, y_shape, window, x[n], (n - first) * places)


@kernel
def pack(images: Array, first: int, last: int, packed: Array) -> None:
    """Images ``first`` to ``last`` of (N, rows, places) side by side into (rows, places of all or more)."""
    places = images.shape[2]
    for n in range(first, last):
        for m in range(images.shape[1]):
            start = np.uintp((n - first) * places)
            for p in range(np.uintp(places)):
                packed[m, start + p] = images[n, m, p]


@kernel
def unpack(packed: Array, first: int, last: int, images: Array) -> None:
    """The reverse of `pack`."""
    places = images.shape[2]
    for n in range(first, last):
        for m in range(images.shape[1]):
            start = np.uintp((n - first) * places)
            for p in range(np.uintp(places)):
                images[n, m, p] = packed[m, start + p]
