"""Mirror, subtract the mean and scale: from pixels, as they were decoded, to the floats of a blob."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.cpu._pixels import planes, planes_image_mean, words, words_image_mean
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
        if x.shape != out.shape and (x.shape != (len(out), *out.shape[2:]) or out.shape[1] != 3):
            raise BackendError(f"pixels of shape {x.shape} do not fill {out.shape}")

        def some(first: int, last: int, worker: int) -> None:
            for n in range(first, last):
                self._image(x[n], (0, 0), (h_off[n], w_off[n]), mirror[n], None if shift is None else shift[n], out[n])

        self._workers.run(len(out), some)

    @property
    def finish(self) -> Callable[..., None] | None:
        """``finish(image, h_off, w_off, mirror, shift, out)``: `forward` for one image, by the thread that decoded it.

        What a thread has just written it need not fetch again. Several threads may call it at once. ``image`` is all of
        the image, (C, H, W) uint8 or float32, or (H, W) uint32 as in `forward`; the crop begins in it at row ``h_off``
        and column ``w_off``; ``shift`` is (C,) or None; ``out``, (C, h, w), C-contiguous, is overwritten.

        Raises BackendError where the image or a mean image ends before the crop does, or channels do not fit.
        """
        return self._finish

    def wait(self) -> None:
        """Until the x of the last `forward` may be overwritten: it may already."""

    def _finish(
        self,
        image: NDArray[Any],
        h_off: int,
        w_off: int,
        mirror: bool,
        shift: NDArray[np.float32] | None,
        out: Array,
    ) -> None:
        channels, height, width = out.shape
        rows, columns = image.shape[-2:]
        inside = 0 <= h_off <= rows - height and 0 <= w_off <= columns - width
        if not inside or image.shape[:-2] not in ((), (channels,)) or (image.ndim == 2 and channels != 3):
            raise BackendError(f"an image of shape {image.shape} does not fill {out.shape} from ({h_off}, {w_off}) on")
        place = h_off, w_off
        self._image(image, place, place, mirror, shift, out)

    def _image(
        self,
        x: NDArray[Any],
        place: tuple[int, int],
        of_mean: tuple[int, int],
        mirror: bool,
        shift: NDArray[np.float32] | None,
        out: Array,
    ) -> None:
        """The crop of ``x`` from ``place`` on, less the mean image from ``of_mean`` on."""
        channels, height, width = out.shape
        if not x.flags.c_contiguous:
            # Kernels read whole vectors of what lies side by side.
            x = np.ascontiguousarray(x[..., place[0] : place[0] + height, place[1] : place[1] + width])
            place = 0, 0
        mean = self._image_mean
        if mean is None:
            if self._channel_mean.size not in (1, channels):
                raise BackendError(f"{self._channel_mean.size} mean values for {channels} channels")
            offset = self._channel_mean if shift is None else self._channel_mean - shift
            if offset.size < channels:
                offset = np.full(channels, offset[0])
            (words if x.ndim == 2 else planes)(x, *place, mirror, offset, self._scale, out)
            return
        fits = all(
            0 <= off <= size - part for off, size, part in zip(of_mean, mean.shape[1:], (height, width), strict=True)
        )
        if len(mean) != channels or not fits:
            raise BackendError(f"the mean is {mean.shape}: crops of {channels} x {height} x {width} leave it")
        shift = np.zeros(channels, np.float32) if shift is None else shift
        less = words_image_mean if x.ndim == 2 else planes_image_mean
        less(x, *place, mirror, mean, *of_mean, shift, self._scale, out)
