"""Mirror, subtract the mean and scale: one pass from the pixels of a batch to the floats of its blob."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Array, Backend
from caffepy.errors import BackendError
from caffepy.gpu._upload import PinnedCopies

if TYPE_CHECKING:
    from caffepy.gpu.backend import GpuBackend

__all__ = ["Transform"]

#: `Batch` and `Image` of transform.cu.
_BATCH = np.dtype([(name, np.int32) for name in ("channels", "height", "width", "mean_height", "mean_width")])
_IMAGE = np.dtype([(name, np.int32) for name in ("h_off", "w_off", "mirror")])

_KERNELS = {"uint8": "transform_bytes", "float32": "transform_floats", "uint32": "transform_words"}


class Transform:
    """``out[n, c, i, j] = (x[n, c, i, j'] + shift[n, c] - mean) * scale``, j' = j, or mirrored, w - 1 - j.

    x are crops of larger images, which lie on the host; they are copied while the device works on what came before.
    Where the mean is an image it is taken at the pixel's own place, that is at ``(c, h_off[n] + i, w_off[n] + j')``
    (Caffe's data_transformer.cpp).

    Args:
        backend: a GPU.
        mean: None, one value or one for each channel (1,) or (C,), or an image (C, H, W); float32.
        scale: factor after subtracting.

    Raises:
        BackendError: a mean of another shape.
    """

    def __init__(self, backend: Backend, mean: NDArray[np.float32] | None, scale: float) -> None:
        if mean is not None and mean.ndim not in (1, 3):
            raise BackendError(f"a mean has shape (C,) or (C, H, W), got {mean.shape}")
        self._kernels = cast("GpuBackend", backend).kernels("transform")
        self._upload = PinnedCopies()
        self._scale = np.float32(scale)
        self._mean_shape: tuple[int, ...] = ()
        self._image_mean: Array = 0
        self._channel_mean = np.zeros(1, np.float32)
        if mean is not None and mean.ndim == 1:
            self._channel_mean = mean.astype(np.float32)
        elif mean is not None:
            self._mean_shape = mean.shape
            self._image_mean = backend.asarray(mean, np.float32)

    def plan(self, x_shape: tuple[int, ...]) -> None:
        """Reserve room for a batch of bytes, or of words, on the device; one of floats comes to more.

        ``x_shape`` is (N, C, h, w), or (N, h, w) for words.
        """
        # Of each image also where it lies, and a number for each channel.
        pixel = 4 if len(x_shape) == 3 or x_shape[1] == 3 else x_shape[1]
        images = x_shape[0]
        area = math.prod(x_shape[-2:])
        self._upload.reserve(images * (area * pixel + _IMAGE.itemsize + 4 * max(pixel, 1)) + 1024)

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
                the third, which become channels 2 and 0. On the host; it may be overwritten after `wait`.
            h_off: (N,), rows of the image above the crop.
            w_off: (N,), columns of the image left of it.
            mirror: (N,).
            shift: (N, C), added to each pixel, or None.
            out: (N, C, h, w), C-contiguous, on the device, overwritten.

        Raises:
            BackendError: shapes that do not fit, or a mean image that ends before the crop does.
        """
        images, channels, height, width = out.shape
        if x.shape != out.shape and (x.shape != (images, height, width) or channels != 3):
            raise BackendError(f"pixels of shape {x.shape} do not fill {out.shape}")
        offset = self._offset(h_off, w_off, shift, out.shape)
        if not out.size:
            return
        of_images = np.empty(images, _IMAGE)
        of_images["h_off"], of_images["w_off"], of_images["mirror"] = h_off, w_off, mirror
        pixels, where, numbers = self._upload.send(x, of_images.view(np.int32), offset)
        batch: Any = np.array([(*out.shape[1:], *(self._mean_shape[1:] or (0, 0)))], _BATCH)[0]
        self._kernels.elements(
            _KERNELS[x.dtype.name], x.size, pixels, batch, where, numbers, self._image_mean, self._scale, out
        )
        self._upload.done()

    @property
    def finish(self) -> Callable[..., None] | None:
        """None: threads that decode images do not finish them, so that bytes go to the device and not floats."""
        return None

    def wait(self) -> None:
        """Until the x of the last `forward` may be overwritten."""
        self._upload.wait()

    def _offset(
        self,
        h_off: NDArray[np.int64],
        w_off: NDArray[np.int64],
        shift: NDArray[np.float32] | None,
        shape: tuple[int, ...],
    ) -> NDArray[np.float32]:
        """For each plane (N, C) what is subtracted or, beside a mean image, added."""
        images, channels, height, width = shape
        if not self._mean_shape:
            if self._channel_mean.size not in (1, channels):
                raise BackendError(f"{self._channel_mean.size} mean values for {channels} channels")
            offset = np.broadcast_to(self._channel_mean, (images, channels)) - (0 if shift is None else shift)
            return offset.astype(np.float32)
        inside = self._mean_shape[0] == channels and all(
            (off >= 0).all() and (off <= size - part).all()
            for off, size, part in zip((h_off, w_off), self._mean_shape[1:], (height, width), strict=True)
        )
        if not inside:
            raise BackendError(f"the mean is {self._mean_shape}: crops of {channels} x {height} x {width} leave it")
        return np.zeros((images, channels), np.float32) if shift is None else shift
