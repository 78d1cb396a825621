"""R-CNN's crop of a window, pixel by pixel from its description; no NumPy but for the arrays.

The window is widened about its centre until it and its surroundings fill the crop, what is outside the image stays
empty, and what is inside is warped bilinearly, pixel centres at halves.
"""

from __future__ import annotations

import math

import numpy as np


def nearest(value):
    """Halves away from zero."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def window_crop(image, box, crop_size, context_pad=0, square=False, mirror=False):
    """The crop (C, crop_size, crop_size) as floats, and where it is not empty, (crop_size, crop_size)."""
    channels, height, width = image.shape
    x1, y1, x2, y2 = box
    if context_pad or square:
        half_w, half_h = (x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2
        middle_x, middle_y = x1 + half_w, y1 + half_h
        if square:
            half_w = half_h = max(half_w, half_h)
        grow = crop_size / (crop_size - 2 * context_pad)
        x1, x2 = nearest(middle_x - half_w * grow), nearest(middle_x + half_w * grow)
        y1, y2 = nearest(middle_y - half_h * grow), nearest(middle_y + half_h * grow)
    per_column, per_row = crop_size / (x2 - x1 + 1), crop_size / (y2 - y1 + 1)
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = max(0, x2 - (width - 1)), max(0, y2 - (height - 1))
    inside = image[:, y1 + top : y2 - bottom + 1, x1 + left : x2 - right + 1].astype(float)
    pad_x = nearest((right if mirror else left) * per_column)
    pad_y = nearest(top * per_row)
    rows = min(nearest(inside.shape[1] * per_row), crop_size - pad_y)
    columns = min(nearest(inside.shape[2] * per_column), crop_size - pad_x)
    out = np.zeros((channels, crop_size, crop_size))
    filled = np.zeros((crop_size, crop_size), bool)
    for y in range(rows):
        for x in range(columns):
            from_x = columns - 1 - x if mirror else x
            v = min(max((y + 0.5) * inside.shape[1] / rows - 0.5, 0), inside.shape[1] - 1)
            u = min(max((from_x + 0.5) * inside.shape[2] / columns - 0.5, 0), inside.shape[2] - 1)
            v0, u0 = int(v), int(u)
            v1, u1 = min(v0 + 1, inside.shape[1] - 1), min(u0 + 1, inside.shape[2] - 1)
            a, b = v - v0, u - u0
            out[:, pad_y + y, pad_x + x] = (1 - a) * ((1 - b) * inside[:, v0, u0] + b * inside[:, v0, u1]) + a * (
                (1 - b) * inside[:, v1, u0] + b * inside[:, v1, u1]
            )
            filled[pad_y + y, pad_x + x] = True
    return out, filled
