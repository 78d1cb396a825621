"""Images to columns and back: what turns a convolution into a product of matrices.

``cols`` is (C * prod(kernel), prod(output)), row by channel and kernel tap, column by output position. One dimension is
two with one row; more than two take the general kernels.
"""

from __future__ import annotations

import numpy as np

from caffepy.backend import Array
from caffepy.cpu._jit import kernel

__all__ = ["fold_2d", "fold_nd", "unfold_2d", "unfold_nd"]


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
def fold_2d(cols: Array, window: Array, height: int, width: int, x: Array) -> None:
    """The transpose of `unfold_2d` for all ``height`` rows of the output: x (C, H, W) is overwritten with the sums."""
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
                        first = np.uintp(out_row * width + begin)
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
def fold_nd(cols: Array, x_shape: Array, y_shape: Array, window: Array, x: Array) -> None:
    """As `fold_2d` for any number of axes; x (C, prod(x_shape)) is overwritten."""
    x[:] = 0
    _walk(x, x_shape, y_shape, window, 0, cols, False)


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
