"""Crop, mirror, subtract the mean and scale: one pass from a decoded image to its place in a batch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Backend
from caffepy.cpu._jit import kernel
from caffepy.errors import BackendError

__all__ = ["Transform"]


class Transform:
    """``out[c, y, x] = (image[c, h_off + y, w_off + x'] + shift[c] - mean) * scale``, x' = x, or mirrored, w - 1 - x.

    The mean is taken at the pixel's own place in the whole image, before mirroring (Caffe's data_transformer.cpp).

    Args:
        backend: the CPU.
        crop_size: height and width of ``out``; 0 takes the whole image.
        mean: None, one value or one for each channel (1,) or (C,), or an image (C, H, W); float32.
        scale: factor after subtracting.
    """

    def __init__(self, backend: Backend, crop_size: int, mean: NDArray[np.float32] | None, scale: float) -> None:
        if mean is not None and mean.ndim not in (1, 3):
            raise BackendError(f"a mean has shape (C,) or (C, H, W), got {mean.shape}")
        self.crop_size = crop_size
        self.scale = np.float32(scale)
        self.image_mean = np.ascontiguousarray(mean, np.float32) if mean is not None and mean.ndim == 3 else None
        self.channel_mean = np.zeros(1, np.float32)
        if mean is not None and mean.ndim == 1:
            self.channel_mean = mean.astype(np.float32)

    def record(
        self,
        image: NDArray[Any],
        h_off: int,
        w_off: int,
        mirror: bool,
        shift: NDArray[np.float32] | None,
        out: NDArray[np.float32],
    ) -> None:
        """One image (C, H, W), uint8 or float32, any strides, into ``out`` (C, h, w), C-contiguous float32.

        ``shift`` (C,) is added to each pixel. ``out`` must not overlap ``image``. Runs without the interpreter's lock.

        Raises:
            BackendError: the crop leaves the image, or the mean does not fit it.
        """
        self._check(image, h_off, w_off, out)
        channels = image.shape[0]
        packed = _packed(image)
        if self.image_mean is not None:
            shifts = np.zeros(channels, np.float32) if shift is None else shift
            if packed is not None:
                _packed_image_mean(packed, h_off, w_off, mirror, self.image_mean, shifts, self.scale, out)
            else:
                _subtract_image(image, h_off, w_off, mirror, self.image_mean, shifts, self.scale, out)
            return
        offset = np.empty(channels, np.float32)
        offset[:] = self.channel_mean
        if shift is not None:
            offset -= shift
        if packed is not None:
            _packed_channel_mean(packed, h_off, w_off, mirror, offset, self.scale, out)
        else:
            _subtract_channel(image, h_off, w_off, mirror, offset, self.scale, out)

    def _check(self, image: NDArray[Any], h_off: int, w_off: int, out: NDArray[np.float32]) -> None:
        channels, height, width = image.shape
        rows, columns = (self.crop_size or height), (self.crop_size or width)
        inside = 0 <= h_off <= height - rows and 0 <= w_off <= width - columns
        if not inside or out.shape != (channels, rows, columns):
            raise BackendError(
                f"a crop of {rows} x {columns} at ({h_off}, {w_off}) of {image.shape} does not fill {out.shape}"
            )
        if self.image_mean is not None and self.image_mean.shape != image.shape:
            raise BackendError(f"the mean is {self.image_mean.shape}, the image {image.shape}")
        if self.channel_mean.size not in (1, channels):
            raise BackendError(f"{self.channel_mean.size} mean values for {channels} channels")


def _packed(image: NDArray[Any]) -> NDArray[np.uint32] | None:
    """The image as one 32-bit word a pixel (red in the low byte), if it is a view of such memory.

    Pillow keeps colour images so. Read word by word they take the vector units, byte by byte with steps they do not.
    """
    channels, height, width = image.shape
    base = image.base
    if (
        channels == 3
        and image.strides == (-1, 4 * width, 4)
        and isinstance(base, np.ndarray)
        and base.shape == (4 * height * width,)
        and base.strides == (1,)
        and sys.byteorder == "little"
        and _bytes_between(base, image) == 2
    ):
        return base.view(np.uint32).reshape(height, width)
    return None


@kernel
def _bytes_between(base: NDArray[Any], view: NDArray[Any]) -> int:
    # Six microseconds cheaper than asking NumPy for the addresses.
    return int(view.ctypes.data - base.ctypes.data)


# An unsigned index cannot be negative, so numba adds no test for wrapping round and the mirrored loops vectorise too.
@kernel
def _subtract_channel(
    image: NDArray[Any],
    h_off: int,
    w_off: int,
    mirror: bool,
    offset: NDArray[np.float32],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    channels, height, width = out.shape
    last = np.uintp(width - 1)
    for c in range(channels):
        for y in range(height):
            row = image[c, h_off + y, w_off : w_off + width]
            if mirror:
                for x in range(width):
                    out[c, y, x] = (np.float32(row[last - np.uintp(x)]) - offset[c]) * scale
            else:
                for x in range(width):
                    out[c, y, x] = (np.float32(row[x]) - offset[c]) * scale


@kernel
def _subtract_image(
    image: NDArray[Any],
    h_off: int,
    w_off: int,
    mirror: bool,
    mean: NDArray[np.float32],
    shift: NDArray[np.float32],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    channels, height, width = out.shape
    last = np.uintp(width - 1)
    for c in range(channels):
        for y in range(height):
            row = image[c, h_off + y, w_off : w_off + width]
            less = mean[c, h_off + y, w_off : w_off + width]
            if mirror:
                for x in range(width):
                    out[c, y, x] = (np.float32(row[last - np.uintp(x)]) - less[last - np.uintp(x)] + shift[c]) * scale
            else:
                for x in range(width):
                    out[c, y, x] = (np.float32(row[x]) - less[x] + shift[c]) * scale


@kernel
def _turn(row: NDArray[np.uint32], turned: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The row in mirrored order: read once forwards, where three planes would each read it backwards."""
    last = np.uintp(row.size - 1)
    for x in range(row.size):
        turned[last - np.uintp(x)] = row[x]
    return turned


@kernel
def _packed_channel_mean(
    image: NDArray[np.uint32],
    h_off: int,
    w_off: int,
    mirror: bool,
    offset: NDArray[np.float32],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    _, height, width = out.shape
    turned = np.empty(width, np.uint32)
    for y in range(height):
        row = image[h_off + y, w_off : w_off + width]
        if mirror:
            row = _turn(row, turned)
        for c in range(3):
            bits = np.uint32(16 - 8 * c)
            for x in range(width):
                level = np.int32((row[x] >> bits) & np.uint32(255))
                out[c, y, x] = (np.float32(level) - offset[c]) * scale


@kernel
def _packed_image_mean(
    image: NDArray[np.uint32],
    h_off: int,
    w_off: int,
    mirror: bool,
    mean: NDArray[np.float32],
    shift: NDArray[np.float32],
    scale: np.float32,
    out: NDArray[np.float32],
) -> None:
    _, height, width = out.shape
    last = np.uintp(width - 1)
    turned = np.empty(width, np.uint32)
    for y in range(height):
        row = image[h_off + y, w_off : w_off + width]
        if mirror:
            row = _turn(row, turned)
        for c in range(3):
            bits = np.uint32(16 - 8 * c)
            less = mean[c, h_off + y, w_off : w_off + width]
            if mirror:
                for x in range(width):
                    level = np.int32((row[x] >> bits) & np.uint32(255))
                    out[c, y, x] = (np.float32(level) - less[last - np.uintp(x)] + shift[c]) * scale
            else:
                for x in range(width):
                    level = np.int32((row[x] >> bits) & np.uint32(255))
                    out[c, y, x] = (np.float32(level) - less[x] + shift[c]) * scale
