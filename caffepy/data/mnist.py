"""MNIST's files of images and labels (IDX) into a database, as Caffe's convert_mnist_data does it."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from caffepy.data.datum import encode
from caffepy.data.resize import resize
from caffepy.data.writer import new_database
from caffepy.errors import DataError

__all__ = ["convert_mnist", "read_idx"]

_GZIP = b"\x1f\x8b"
# Larger than any known set of this format: a damaged header must not take the memory of the machine.
_MAX_BYTES = 1 << 31
_PIECE = 1 << 24


def read_idx(path: str | os.PathLike[str], dimensions: int) -> NDArray[np.uint8]:
    """The bytes in an IDX file, .gz or plain: images (n, rows, columns) have 3 ``dimensions``, labels (n,) have 1.

    Raises:
        DataError: no such file, another magic number, fewer or more bytes than the header says.
    """
    text = os.fspath(path)
    try:
        with open(text, "rb") as raw:
            packed = raw.read(2) == _GZIP
        with cast(BinaryIO, gzip.open(text, "rb") if packed else open(text, "rb")) as file:
            return _read_idx(file, text, dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read '{text}': {error}") from error
    except MemoryError:
        raise DataError(f"'{text}': out of memory: it holds more than there is room for.") from None


def _read_idx(file: BinaryIO, text: str, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    # Two zero bytes, 8 for unsigned bytes, and the number of axes: 2051 for images, 2049 for labels.
    expected = bytes([0, 0, 8, dimensions])
    if header[:4] != expected:
        what = {1: "labels", 3: "images"}.get(dimensions, f"{dimensions} axes")
        raise DataError(
            f"'{text}' is no IDX file of {what}: magic number {int.from_bytes(header[:4], 'big')}, "
            f"expected {int.from_bytes(expected, 'big')}. Are images and labels exchanged?"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"'{text}' is cut short: its header has {len(header)} bytes of {4 + 4 * dimensions}.")
    shape = tuple(int.from_bytes(header[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions))
    count = math.prod(shape)
    if not 0 < count <= _MAX_BYTES:
        raise DataError(f"'{text}' has sizes {shape}, expected 1 to {_MAX_BYTES} bytes: empty or damaged.")
    data = _read_up_to(file, count + 1)
    if len(data) != count:
        found = f"only {len(data)}" if len(data) < count else "more"
        raise DataError(f"'{text}' is cut short or damaged: sizes {shape} need {count} bytes, it has {found}.")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_up_to(file: BinaryIO, count: int) -> bytearray:
    """At most ``count`` bytes, in pieces: a damaged header must not ask for more memory than there is data."""
    data = bytearray()
    while len(data) < count and (piece := file.read(min(_PIECE, count - len(data)))):
        data += piece
    return data


def convert_mnist(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    database: str | os.PathLike[str],
    *,
    backend: str = "LMDB",
    encode_type: str = "",
    resize_height: int = 0,
    resize_width: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write an LMDB, or a LEVELDB, of an image file and its label file; keys are ``%08d``. Gives the number of records.

    Pixels are stored raw, byte for byte as Caffe's tool stores them, or compressed with ``encode_type`` jpg or png.
    ``resize_height`` and ``resize_width`` enlarge the digits (bilinear), for nets that need larger images.

    Raises:
        DataError: files that cannot be read, different numbers of images and labels, a database that exists.
    """
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise DataError(
            f"'{os.fspath(images)}' has {len(pixels)} images, '{os.fspath(labels)}' {len(classes)} labels: "
            "they belong to different sets."
        )
    if (resize_height > 0) != (resize_width > 0) or min(resize_height, resize_width) < 0:
        raise DataError(f"resize_height {resize_height} and resize_width {resize_width}: give both, or none.")
    with new_database(database, backend) as writer:
        for number, (image, label) in enumerate(zip(pixels, classes.tolist(), strict=True)):
            planes = image[None]
            if resize_height:
                planes = resize(planes, resize_height, resize_width)
            datum = encode(planes, label, encode_type)
            if not datum.encoded:
                # Unlike convert_imageset, Caffe's tool does not write the default out.
                datum.ClearField("encoded")
            writer.put(b"%08d" % number, datum.SerializeToString())
            if progress is not None:
                progress(number + 1, len(pixels))
    return len(pixels)
