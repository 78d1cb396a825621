"""Where a window is cut out of its image, and where in the crop it comes to lie."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from caffepy.errors import DataError

__all__ = ["Placed", "place_window"]


class Placed(NamedTuple):
    """Columns x1 to x2 and rows y1 to y2, included, warped to ``height`` x ``width`` at (``pad_h``, ``pad_w``)."""

    x1: int
    y1: int
    x2: int
    y2: int
    height: int
    width: int
    pad_h: int = 0
    pad_w: int = 0


def place_window(
    box: tuple[int, int, int, int],
    height: int,
    width: int,
    crop_size: int,
    context_pad: int,
    square: bool,
    mirror: bool,
) -> Placed:
    """How the window ``box`` (x1, y1, x2, y2) of an image ``height`` x ``width`` becomes a crop.

    By itself a window is warped to the whole crop. With ``context_pad`` it is first widened, so that ``context_pad``
    pixels of the crop on each side are its surroundings; ``square`` widens the shorter side to the longer one before
    that. What then lies outside the image stays empty; mirrored, it is empty on the other side. Numbers are rounded
    where and as Caffe's window_data_layer.cpp rounds them.

    Raises:
        DataError: a window that is not in the image, or nothing of which is.
    """
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        raise DataError(f"the window {box} is empty: expected x1 <= x2 and y1 <= y2.")
    size, pads = (crop_size, crop_size), (0, 0)
    if context_pad or square:
        real = np.float32
        scale = real(crop_size) / real(crop_size - 2 * context_pad)
        half_height, half_width = real(y2 - y1 + 1) / real(2), real(x2 - x1 + 1) / real(2)
        center_x, center_y = real(x1) + half_width, real(y1) + half_height
        if square:
            half_height = half_width = max(half_height, half_width)
        x1, x2 = _round(center_x - half_width * scale), _round(center_x + half_width * scale)
        y1, y2 = _round(center_y - half_height * scale), _round(center_y + half_height * scale)
        scale_x, scale_y = real(crop_size) / real(x2 - x1 + 1), real(crop_size) / real(y2 - y1 + 1)
        left, above = max(0, -x1), max(0, -y1)
        right, below = max(0, x2 - width + 1), max(0, y2 - height + 1)
        x1, y1, x2, y2 = x1 + left, y1 + above, x2 - right, y2 - below
        pads = (_round(real(above) * scale_y), _round(real(right if mirror else left) * scale_x))
        # What is rounded up twice must still fit.
        size = (
            min(_round(real(y2 - y1 + 1) * scale_y), crop_size - pads[0]),
            min(_round(real(x2 - x1 + 1) * scale_x), crop_size - pads[1]),
        )
    if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
        raise DataError(f"the window {box} is not inside its image of {width} x {height} (width x height) pixels.")
    if min(size) < 1:
        raise DataError(
            f"of the window {box} nothing is left in a crop of {crop_size}: too little of it is in its image."
        )
    return Placed(x1, y1, x2, y2, *size, *pads)


def _round(value: Any) -> int:
    """The nearest integer, halves away from zero, as C rounds."""
    wide = float(value)
    return int(np.copysign(np.floor(abs(wide) + 0.5), wide))
