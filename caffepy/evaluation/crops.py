"""Crops of images as the TEST phase of a data layer transforms them: the centre, or ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.backend import Backend
from caffepy.blob import Blob
from caffepy.data.ten_crops import ten_crops
from caffepy.data.transform import Transform
from caffepy.errors import DataError

__all__ = ["Crops"]


class Crops:
    """Fills a net's input with crops: ``(pixel - mean) * scale``, all crops of an image one after another.

    A mean image is taken at each crop's own place, as a data layer takes it. With one crop, the centre, nothing is
    mirrored; of ten, five are.

    Args:
        backend: where the input is.
        transform: what crops are and what is subtracted.
        count: 1 or 10.

    Raises:
        DataError: another count, or ten crops of images that are not cropped.
    """

    def __init__(self, backend: Backend, transform: Transform, count: int = 1) -> None:
        if count not in (1, 10):
            raise DataError(f"{transform.where}: an image gives 1 crop or 10; got {count}.")
        if count == 10 and not transform.crop_size:
            raise DataError(
                f"{transform.where}: ten crops of an image need a crop_size, smaller than the image, in "
                "transform_param: without it the whole image is the input."
            )
        self.transform = transform
        self.count = count
        self._backend = backend
        self._pixels = backend.ops.Transform(backend, transform.mean, transform.scale)

    def fill(self, images: Sequence[NDArray[Any]], names: Sequence[str], out: Blob) -> None:
        """Make ``out`` (n * count, C, h, w) hold the crops of ``images``, n of them.

        Args:
            images: (C, H, W), uint8 or float32, blue first, all of one size where there is no crop_size.
            names: what messages call them.
            out: is shaped.

        Raises:
            DataError: an image that cannot be cropped, or from which the mean cannot be subtracted.
        """
        placed: list[tuple[int, int, bool]] = []
        for image, name in zip(images, names, strict=True):
            self.transform.check(image.shape, name)
            placed += self._places(image.shape)
        shape = self.transform.output_shape(images[0].shape)
        kind = np.float32 if any(image.dtype != np.uint8 for image in images) else np.uint8
        pixels = np.empty((len(placed), *shape), kind)
        _, height, width = shape
        for i, (row, column, _) in enumerate(placed):
            image = images[i // self.count]
            crop = image[:, row : row + height, column : column + width]
            if crop.shape != shape:
                raise DataError(
                    f"{self.transform.where}: {names[i // self.count]} gives {crop.shape}, others in the batch {shape}."
                )
            pixels[i] = crop
        rows, columns, mirror = (np.array(values) for values in zip(*placed, strict=True))
        out.reshape(*pixels.shape)
        self._pixels.plan(pixels.shape)
        self._pixels.forward(pixels, rows, columns, mirror, None, out.data)

    def _places(self, shape: tuple[int, ...]) -> list[tuple[int, int, bool]]:
        _, height, width = shape
        size = self.transform.crop_size
        if self.count == 10:
            return ten_crops(height, width, size, size)
        return [((height - size) // 2, (width - size) // 2, False)] if size else [(0, 0, False)]
