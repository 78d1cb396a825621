"""Bilinear and nearest-pixel resizing by loops from the definition."""

from __future__ import annotations

import math

import numpy as np


def at_centres(x, old, new):
    """Pixels are squares of side 1."""
    return (x + 0.5) * old / new - 0.5


def at_corners(x, old, new):
    """Pixels are points; the outermost lie upon each other."""
    return x * (old - 1) / (new - 1) if new > 1 else 0.0


def resize(image, height, width, place, order):
    """``image`` (H, W, K) at (height, width, K); what lies outside of it is 0."""
    old_height, old_width, channels = image.shape
    out = np.zeros((height, width, channels))
    for y in range(height):
        for x in range(width):
            v, u = place(y, old_height, height), place(x, old_width, width)
            if order == 0:
                row, column = (math.floor(c + 0.5) for c in (v, u))
                out[y, x] = image[min(row, old_height - 1), min(column, old_width - 1)]
                continue
            for row in range(old_height):
                for column in range(old_width):
                    share = max(0.0, 1 - abs(v - row)) * max(0.0, 1 - abs(u - column))
                    out[y, x] += share * image[row, column]
    return out
