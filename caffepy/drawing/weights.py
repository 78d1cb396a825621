"""Pictures of weights: filters as images, other weights as matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.drawing.panels import Matrix, Panel, Tiles, symmetrical
from caffepy.errors import WeightsError

__all__ = ["weights_panel"]


def weights_panel(name: str, weight: NDArray[Any], *, most: int = 256, each: bool = True) -> Panel:
    """A panel of a layer's first blob; zero is gray.

    Filters of three channels (blue, green, red) are coloured images, of one channel gray ones. Of others every row of
    tiles is a filter, and every tile one of its channels. 1 x 1 filters and weights of two axes are a matrix.

    Args:
        weight: (outputs, channels, height, width), or (outputs, inputs).
        most: tiles in the picture.
        each: let every filter have its own range, and not all one.

    Raises:
        WeightsError: another number of axes, or none at all.
    """
    shape = "x".join(map(str, weight.shape))
    if weight.ndim not in (2, 4) or not weight.size:
        raise WeightsError(f"{name}: weights of shape {weight.shape} are no filters: expected two axes or four.")
    outputs, channels = weight.shape[:2]
    if weight.ndim == 2 or (weight.shape[2:] == (1, 1) and channels > 1):
        values = _fewer(weight.reshape(outputs, channels).astype(np.float64))
        return Matrix(f"{name}: {shape}", values, "input", "output")
    if channels in (1, 3):
        count = min(outputs, most)
        images = symmetrical(weight[:count], each=each).transpose(0, 2, 3, 1)
        images = images[..., ::-1] if channels == 3 else images[..., 0]
        return Tiles(f"{name}: {shape}{_part(count, outputs, 'filters')}", images)
    # As many of both as fit, and as square as can be.
    across = min(channels, max(1, math.isqrt(most)))
    down = min(outputs, max(1, most // across))
    across = min(channels, max(1, most // down))
    part = weight[:down, :across]
    images = symmetrical(part, each=each).reshape(down * across, *weight.shape[2:])
    what = _part(down, outputs, "filters, a row each") + _part(across, channels, "channels")
    return Tiles(f"{name}: {shape}{what}", images, columns=across)


def _part(shown: int, there: int, what: str) -> str:
    return f", the first {shown} of {there} {what}" if shown < there else ""


def _fewer(values: NDArray[np.float64], most: int = 1000) -> NDArray[np.float64]:
    """Of a matrix with more rows or columns than points: the number of largest absolute value of each block."""
    for axis in (0, 1):
        step = -(-values.shape[axis] // most)
        if step > 1:
            padded = np.pad(values, [(0, -n % step if i == axis else 0) for i, n in enumerate(values.shape)])
            shape = list(padded.shape)
            shape[axis : axis + 1] = [shape[axis] // step, step]
            blocks = padded.reshape(shape)
            places = np.abs(blocks).argmax(axis=axis + 1, keepdims=True)
            values = np.take_along_axis(blocks, places, axis + 1).squeeze(axis + 1)
    return values
