"""The mean image of a database: computed as Caffe's compute_image_mean does, kept in a binaryproto."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import decode
from caffepy.data.in_order import in_order
from caffepy.data.npy import read_npy
from caffepy.data.source import Source, key_text
from caffepy.errors import CaffepyError, DataError
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array
from caffepy.proto.read import read_binary, write_binary

__all__ = ["compute_mean", "read_mean", "write_mean"]


def compute_mean(
    source: Source, *, threads: int = 1, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.float32]:
    """The mean over all records, (C, H, W), decoded by ``threads`` threads.

    ``progress(done, total)`` is called after each record. Sums of bytes are exact, unlike Caffe's, which lose digits
    from some 65,000 records on.

    Raises:
        DataError: a record that cannot be decoded, or that differs from the first in shape.
    """

    def one(ordinal: int) -> tuple[bytes, NDArray[Any]]:
        key, value = source.read(ordinal)
        return key, decode(value, key).array

    count = len(source)
    total: NDArray[np.float64] | None = None
    for done, (key, image) in enumerate(in_order(one, range(count), threads), 1):
        if total is None:
            total = np.zeros(image.shape, np.float64)
        if image.shape != total.shape:
            raise DataError(
                f"record '{key_text(key)}' of '{source.path}' has shape {image.shape}, the first record {total.shape}: "
                "a mean needs records of one size. Convert with resize_height and resize_width, or give mean_value."
            )
        total += image
        if progress is not None:
            progress(done, count)
    if total is None:
        raise DataError(f"'{source.path}' has no records to take the mean of.")
    return (total / count).astype(np.float32)


def write_mean(path: str | os.PathLike[str], mean: NDArray[np.float32]) -> None:
    """Write a mean (C, H, W) as a BlobProto with Caffe's legacy sizes: num 1, channels, height, width."""
    channels, height, width = mean.shape
    blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
    blob.data.extend(mean.ravel().tolist())
    write_binary(path, blob)


def read_mean(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """A mean image (C, H, W), or mean values (C,), from a ``.binaryproto`` or ``.npy`` file.

    Raises:
        DataError: no such file, another kind of file, or sizes that do not match the data.
    """
    text = os.fspath(path)
    if not os.path.isfile(text):
        raise DataError(f"there is no mean file '{text}' (looked for '{Path(text).absolute()}').")
    shape, values = _read_npy(text) if text.endswith(".npy") else _read_blob(text)
    if len(shape) == 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) not in (1, 3) or min(shape) <= 0:
        raise DataError(f"mean file '{text}' holds an array of shape {shape}; expected (channels, height, width).")
    return np.ascontiguousarray(values, np.float32).reshape(shape)


def _read_npy(text: str) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    try:
        with open(text, "rb") as file:
            values = read_npy(file, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError) as error:
        raise DataError(f"mean file '{text}' is no array of numbers: {error}") from error
    return values.shape, values.astype(np.float32)


def _read_blob(text: str) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    blob = caffe_pb2.BlobProto()
    try:
        read_binary(text, blob)
    except CaffepyError as error:
        raise DataError(f"mean file '{text}' is no BlobProto: {error}") from error
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    stored = blob_array(blob)
    if math.prod(shape) != len(stored) or not len(stored):
        raise DataError(
            f"mean file '{text}' has {len(stored)} values for shape {str(shape)[:200]}: damaged, or no mean file."
        )
    return shape, stored.astype(np.float32)
