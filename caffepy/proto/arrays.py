"""Blobs as NumPy arrays and back, without a Python object for each number.

A repeated float field is a sequence of Python floats to its readers, and AlexNet has 61 million of them. Its wire form
is a tag, a length and the very bytes of the array, so that is what is read and written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from caffepy.proto import caffe_pb2
from caffepy.proto.varint import read_varint, write_varint

__all__ = [
    "NUMBER_FIELDS",
    "blob_array",
    "blob_arrays",
    "blob_shape",
    "encode_blob",
    "field_header",
    "write_message_with_blobs",
]

_BYTES = 2  # wire type: length and payload
_FIXED = {1: 8, 5: 4}  # wire types of so many bytes
#: Of both kinds of number in a BlobProto, its field for single and for double precision.
NUMBER_FIELDS = {"data": (5, 8), "diff": (6, 9)}


def blob_shape(blob: caffe_pb2.BlobProto) -> tuple[int, ...]:
    """The shape that ``blob`` states: ``shape``, or the four legacy dimensions."""
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return (blob.num, blob.channels, blob.height, blob.width)
    return tuple(blob.shape.dim)


def blob_array(blob: caffe_pb2.BlobProto, what: str = "data") -> NDArray[Any]:
    """The values of ``data`` or ``diff`` as a flat array: float64 where the file has doubles, else float32."""
    return blob_arrays(blob)[what == "diff"]


def blob_arrays(blob: caffe_pb2.BlobProto) -> tuple[NDArray[Any], NDArray[Any]]:
    """The values of ``data`` and ``diff`` as `blob_array` gives them, in the time of one."""
    numbers = {single: "<f4" for single, _ in NUMBER_FIELDS.values()} | {
        double: "<f8" for _, double in NUMBER_FIELDS.values()
    }
    found: dict[int, NDArray[Any]] = {}
    buffer = memoryview(blob.SerializeToString())
    position = 0
    while position < len(buffer):
        tag, position = read_varint(buffer, position)
        if tag & 7 == _BYTES:
            length, position = read_varint(buffer, position)
            if tag >> 3 in numbers:
                found[tag >> 3] = np.frombuffer(buffer[position : position + length], numbers[tag >> 3])
            position += length
        elif tag & 7 in _FIXED:  # only in fields of forks
            position += _FIXED[tag & 7]
        else:  # the legacy dimensions
            _, position = read_varint(buffer, position)
    none = np.empty(0, np.float32)
    data, diff = (found.get(double, found.get(single, none)) for single, double in NUMBER_FIELDS.values())
    return data, diff


def encode_blob(data: NDArray[Any], diff: NDArray[Any] | None = None) -> list[bytes | memoryview]:
    """A BlobProto's bytes, in pieces: shape, data and, where given, diff, as Caffe writes them."""
    shape = caffe_pb2.BlobShape(dim=data.shape).SerializeToString()
    pieces: list[bytes | memoryview] = [field_header(7, len(shape)), shape]
    for values, what in ((data, "data"), (diff, "diff")):
        if values is not None:
            double = values.dtype == np.float64
            flat = np.ascontiguousarray(values, "<f8" if double else "<f4").reshape(-1)
            pieces += [field_header(NUMBER_FIELDS[what][double], flat.nbytes), flat.view(np.uint8).data]
    return pieces


def write_message_with_blobs(
    file: BinaryIO,
    message: Any,
    field: int,
    blobs: Iterable[Sequence[bytes | memoryview]],
    outer_field: int | None = None,
) -> None:
    """Write ``message`` followed by ``blobs`` as its repeated field ``field``.

    ``outer_field`` makes the whole a field of the message that ``file`` holds: a layer in a net.
    """
    pieces: list[bytes | memoryview] = [message.SerializeToString()]
    for blob in blobs:
        pieces.append(field_header(field, sum(len(piece) for piece in blob)))
        pieces.extend(blob)
    if outer_field is not None:
        file.write(field_header(outer_field, sum(len(piece) for piece in pieces)))
    for piece in pieces:
        file.write(piece)


def field_header(field: int, length: int) -> bytes:
    """What stands before a field of ``length`` bytes in the wire format."""
    return write_varint(field << 3 | _BYTES) + write_varint(length)
