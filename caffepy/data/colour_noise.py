"""AlexNet's colour noise: each training image is shifted along the directions in which the colours of photos vary.

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012, section 4.1::

    [blue, green, red] += sum over i of  p_i * a_i * d_i,     a_i ~ N(0, sigma), drawn once for an image

with ``p_i`` the eigenvectors of the 3 x 3 covariance of pixel values over the training set. The paper calls ``d_i`` the
eigenvalues; its authors' program (cuda-convnet2) multiplies by their square roots, the standard deviations along p_i,
which is the only reading that has the unit of a pixel value. So does this file. With the paper's sigma = 0.1 a photo's
brightness changes by about twelve of 255 levels.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import decode
from caffepy.data.npy import read_npy
from caffepy.data.source import Source, key_text
from caffepy.errors import DataError
from caffepy.proto.files import atomic_write
from caffepy.random import Stream

__all__ = ["ColourNoise", "compute_colour_noise", "read_colour_noise", "write_colour_noise"]

# A file of two 3 x 3 arrays is about a kilobyte.
_MAX_FILE = 1 << 20


class ColourNoise:
    """Directions and standard deviations of a data set's colours, and how much of them to add.

    Args:
        vectors: (3, 3), column i is p_i, in the order blue, green, red.
        deviations: (3,), d_i, in pixel units.
        sigma: 0.1 in the paper.

    Raises:
        DataError: wrong shapes, numbers that are not finite, a negative sigma.
    """

    def __init__(self, vectors: NDArray[np.float64], deviations: NDArray[np.float64], sigma: float = 0.1) -> None:
        if vectors.shape != (3, 3) or deviations.shape != (3,):
            raise DataError(
                f"colour noise needs vectors (3, 3) and deviations (3,), got {vectors.shape}, {deviations.shape}."
            )
        if not (np.isfinite(vectors).all() and np.isfinite(deviations).all() and 0 <= sigma < np.inf):
            raise DataError(f"colour noise: numbers must be finite and sigma at least 0, got sigma {sigma}.")
        self.vectors = vectors
        self.deviations = deviations
        self.sigma = sigma

    def shifts(self, stream: Stream, ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
        """What is added to blue, green and red of each record, (n, 3) float32."""
        normal = stream.normal_of_steps(ordinals, 3)
        # Written out, not as a matrix product: BLAS may sum in another order for another number of rows.
        scaled = normal * (self.sigma * self.deviations)
        total: NDArray[np.float64] = (scaled[:, None, :] * self.vectors[None, :, :]).sum(axis=2)
        return total.astype(np.float32)


def compute_colour_noise(
    source: Source,
    *,
    sigma: float = 0.1,
    limit: int = 10_000,
    progress: Callable[[int, int], None] | None = None,
) -> ColourNoise:
    """The directions and deviations of the colours in ``limit`` records taken evenly from ``source``.

    Sums are exact integers, so the result does not depend on order.

    Raises:
        DataError: a record that is not a colour image of bytes.
    """
    count = min(limit, len(source))
    total = np.zeros(3, np.int64)
    products = np.zeros((3, 3), np.float64)
    pixel_count = 0
    for done in range(count):
        key, value = source.read(done * len(source) // count)
        image = decode(value, key).array
        if image.shape[0] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"colour noise needs images of 3 channels of bytes; record '{key_text(key)}' "
                f"of '{source.path}' has shape {image.shape}, {image.dtype}."
            )
        flat = image.reshape(3, -1).astype(np.float64)
        total += flat.sum(axis=1).astype(np.int64)
        products += flat @ flat.T
        pixel_count += flat.shape[1]
        if progress is not None:
            progress(done + 1, count)
    mean = total / pixel_count
    values, vectors = np.linalg.eigh(products / pixel_count - np.outer(mean, mean))
    return ColourNoise(vectors[:, ::-1], np.sqrt(np.maximum(values[::-1], 0)), sigma)


def write_colour_noise(path: str | os.PathLike[str], noise: ColourNoise) -> None:
    """Keep directions and deviations in an ``.npz`` file; sigma is not kept."""
    memory = io.BytesIO()
    np.savez(memory, vectors=noise.vectors, deviations=noise.deviations)
    with atomic_write(path) as file:
        file.write(memory.getvalue())


def read_colour_noise(path: str | os.PathLike[str], sigma: float = 0.1) -> ColourNoise:
    """What `write_colour_noise` wrote.

    Raises:
        DataError: no such file, or not one that `write_colour_noise` wrote.
    """
    try:
        if Path(path).stat().st_size > _MAX_FILE:
            raise ValueError(f"larger than {_MAX_FILE} bytes")
        # Not np.load: it unpacks whatever a member says that it holds.
        with zipfile.ZipFile(path) as archive:
            vectors, deviations = (_member(archive, name) for name in ("vectors.npy", "deviations.npy"))
    # zipfile raises BadZipFile, NotImplementedError, RuntimeError and others, depending on where a file is damaged.
    except Exception as error:
        raise DataError(f"cannot read colour noise from '{os.fspath(path)}': {error}") from error
    return ColourNoise(vectors.astype(np.float64), deviations.astype(np.float64), sigma)


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    info = archive.getinfo(name)
    if info.file_size > _MAX_FILE:
        raise ValueError(f"{name} is larger than {_MAX_FILE} bytes")
    return read_npy(io.BytesIO(archive.read(info)), info.file_size)
