"""Mirror, subtract the mean and scale: one pass from the pixels of a batch to the floats of its blob."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.cpu._jit import kernel
from caffepy.errors import BackendError

if TYPE_CHECKING:
    from caffepy.cpu.backend import CpuBackend

__all__ = ["Transform"]


class Transform:
    """``out[n, c, i, j] = (x[n, c, i, j'] + shift[n, c] - mean) * scale``, j' = j, or mirrored, w - 1 - j.

    x are crops of larger images. Where the mean is an image it is taken at the pixel's own place, that is at
    ``(c, h_off[n] + i, w_off[n] + j')`` (Caffe's data_transformer.cpp).

    Args:
        backend: the CPU.
        mean: None, one value or one for each channel (1,) or (C,), or an image (C, H, W); float32.
        scale: factor after subtracting.

    Raises:
        BackendError: a mean of another shape.
    """

    def __init__(self, backend: Backend, mean: NDArray[np.float32] | None, scale: float) -> None:
        if mean is not None and mean.ndim not in (1, 3):
            raise BackendError(f"a mean has shape (C,) or (C, H, W), got {mean.shape}")
        self._workers = cast("CpuBackend", backend).workers
        self._scale = np.float32(scale)
        self._image_mean = np.ascontiguousarray(mean, np.float32) if mean is not None and mean.ndim == 3 else None
        self._channel_mean = np.zeros(1, np.float32)
        if mean is not None and mean.ndim == 1:
            self._channel_mean = mean.astype(np.float32)

    def plan(self, x_shape: tuple[int, ...]) -> None:
        """Nothing to prepare."""

    def forward(
        self,
        x: NDArray[Any],
        h_off: NDArray[np.int64],
        w_off: NDArray[np.int64],
        mirror: NDArray[np.bool_],
        shift: NDArray[np.float32] | None,
        out: Array,
    ) -> None:
        """A batch.

        Args:
            x: (N, C, h, w) uint8 or float32; or (N, h, w) uint32, a colour pixel each, red in the low byte and blue in
                the third, which become channels 2 and 0. It may be overwritten after `wait`.
            h_off: (N,), rows of the image above the crop.
            w_off: (N,), columns of the image left of it.
            mirror: (N,).
            shift: (N, C), added to each pixel, or None.
            out: (N, C, h, w), C-contiguous, overwritten; must not overlap ``x``.

        Raises:
            BackendError: shapes that do not fit, or a mean image that ends before the crop does.
        """
        images, channels, height, width = out.shape
        if x.shape != out.shape and (x.shape != (images, height, width) or channels != 3):
            raise BackendError(f"pixels of shape {x.shape} do not fill {out.shape}")
        kernels: tuple[Any, Any]
        args: tuple[Any, ...]
        mean = self._image_mean
        if mean is None:
            if self._channel_mean.size not in (1, channels):
                raise BackendError(f"{self._channel_mean.size} mean values for {channels} channels")
            offset = np.broadcast_to(self._channel_mean, (images, channels)) - (0 if shift is None else shift)
            kernels, args = (_words, _planes), (offset.astype(np.float32),)
        else:
            inside = len(mean) == channels and all(
                (off >= 0).all() and (off <= size - part).all()
                for off, size, part in zip((h_off, w_off), mean.shape[1:], (height, width), strict=True)
            )
            if not inside:
                raise BackendError(f"the mean is {mean.shape}: crops of {channels} x {height} x {width} leave it")
            shifts = np.zeros((images, channels), np.float32) if shift is None else shift
            kernels, args = (_words_image_mean, _planes_image_mean), (h_off, w_off, mean, shifts)
        run: Callable[..., None] = kernels[x.ndim == 4]
        self._workers.run(images, lambda first, last, worker: run(first, last, x, mirror, *args, self._scale, out))

    def wait(self) -> None:
        """Until the x of the last `forward` may be overwritten: it may already."""


# An unsigned index cannot be negative, so numba adds no test for wrapping round and the mirrored loops vectorise too.
@kernel
def _planes(
    first: int,
    last: int,
    x: NDArray[Any],
    mirror: NDArray[np.bool_],
    offset: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    _, channels, height, width = out.shape
    end = np.uintp(width - 1)
    for n in range(first, last):
        for c in range(channels):
            less = offset[n, c]
            for i in range(height):
                row = x[n, c, i]
                if mirror[n]:
                    for j in range(width):
                        out[n, c, i, j] = (np.float32(row[end - np.uintp(j)]) - less) * scale
                else:
                    for j in range(width):
                        out[n, c, i, j] = (np.float32(row[j]) - less) * scale


@kernel
def _planes_image_mean(
    first: int,
    last: int,
    x: NDArray[Any],
    mirror: NDArray[np.bool_],
    h_off: NDArray[np.int64],
    w_off: NDArray[np.int64],
    mean: NDArray[np.float32],
    shift: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    _, channels, height, width = out.shape
    end = np.uintp(width - 1)
    for n in range(first, last):
        for c in range(channels):
            more = shift[n, c]
            for i in range(height):
                row = x[n, c, i]
                less = mean[c, h_off[n] + i, w_off[n] : w_off[n] + width]
                if mirror[n]:
                    for j in range(width):
                        k = end - np.uintp(j)
                        out[n, c, i, j] = (np.float32(row[k]) - less[k] + more) * scale
                else:
                    for j in range(width):
                        out[n, c, i, j] = (np.float32(row[j]) - less[j] + more) * scale


@kernel
def _turn(row: NDArray[np.uint32], turned: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The row in mirrored order: read once forwards, where three planes would each read it backwards."""
    end = np.uintp(row.size - 1)
    for j in range(row.size):
        turned[end - np.uintp(j)] = row[j]
    return turned


@kernel
def _words(
    first: int,
    last: int,
    x: NDArray[np.uint32],
    mirror: NDArray[np.bool_],
    offset: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    _, _, height, width = out.shape
    turned = np.empty(width, np.uint32)
    for n in range(first, last):
        for i in range(height):
            row = x[n, i]
            if mirror[n]:
                row = _turn(row, turned)
            for c in range(3):
                bits = np.uint32(16 - 8 * c)
                less = offset[n, c]
                for j in range(width):
                    level = np.int32((row[j] >> bits) & np.uint32(255))
                    out[n, c, i, j] = (np.float32(level) - less) * scale


@kernel
def _words_image_mean(
    first: int,
    last: int,
    x: NDArray[np.uint32],
    mirror: NDArray[np.bool_],
    h_off: NDArray[np.int64],
    w_off: NDArray[np.int64],
    mean: NDArray[np.float32],
    shift: NDArray[np.float32],
    scale: np.float32,
    out: Array,
) -> None:
    _, _, height, width = out.shape
    end = np.uintp(width - 1)
    turned = np.empty(width, np.uint32)
    for n in range(first, last):
        for i in range(height):
            row = x[n, i]
            if mirror[n]:
                row = _turn(row, turned)
            for c in range(3):
                bits = np.uint32(16 - 8 * c)
                less = mean[c, h_off[n] + i, w_off[n] : w_off[n] + width]
                more = shift[n, c]
                if mirror[n]:
                    for j in range(width):
                        level = np.int32((row[j] >> bits) & np.uint32(255))
                        out[n, c, i, j] = (np.float32(level) - less[end - np.uintp(j)] + more) * scale
                else:
                    for j in range(width):
                        level = np.int32((row[j] >> bits) & np.uint32(255))
                        out[n, c, i, j] = (np.float32(level) - less[j] + more) * scale
