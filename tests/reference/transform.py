"""Caffe's data transformation from its definition, an image at a time."""

from __future__ import annotations

import numpy as np


def transform(crop, h_off, w_off, mirror, mean, scale, shift):
    """A crop (C, h, w) of an image, of which it leaves out ``h_off`` rows and ``w_off`` columns, in float32."""
    channels, height, width = crop.shape
    out = np.empty((channels, height, width), np.float32)
    for c in range(channels):
        value = crop[c].astype(np.float32)
        if shift is not None:
            value = value + np.float32(shift[c])
        if mean is not None and mean.ndim == 1:
            value = value - mean[c if mean.size > 1 else 0]
        elif mean is not None:
            value = value - mean[c, h_off : h_off + height, w_off : w_off + width]
        out[c] = (value[:, ::-1] if mirror else value) * np.float32(scale)
    return out
