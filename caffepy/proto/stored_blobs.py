"""Weights and states whose numbers stay in the file until they are asked for.

protobuf takes a caffemodel's size once for the file and once for the message, and reading a blob of it takes the blob's
again. So the file is walked along its wire format (https://protobuf.dev/programming-guides/encoding/), and what
protobuf gets is the message without the numbers of its larger blobs. They are read piece by piece, not mapped: a mapped
file that another process cuts off ends this one with SIGBUS.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from typing import Any, NamedTuple, cast

import numpy as np
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from numpy.typing import NDArray

from caffepy.errors import WeightsError, reason
from caffepy.proto.arrays import NUMBER_FIELDS, blob_arrays, field_header
from caffepy.proto.caffe_pb2 import BlobProto
from caffepy.proto.read import MAX_BINARY, check_binary, parse_binary, read_binary
from caffepy.proto.varint import read_varint

__all__ = ["Numbers", "StoredBlobs", "open_binary"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BLOB = BlobProto.DESCRIPTOR
_TYPES = {number: "<f8" if number in (8, 9) else "<f4" for pair in NUMBER_FIELDS.values() for number in pair}
# The field that stands in a blob for the numbers left out: the last that there can be.
_MARK = (1 << 29) - 1
# Bytes from which a message is walked and numbers are left out: below, protobuf is as good.
_LARGE = 1 << 16
# Fields walked, each in some microseconds. Caffe's largest nets have some thousands.
_MOST_FIELDS = 100_000
# Bytes read at a time.
_PIECE = 1 << 24


class _Unusual(ValueError):
    """Something for protobuf to judge: cut off, damaged, groups, too many fields."""


@dataclass(frozen=True)
class Numbers:
    """The numbers of ``data`` or ``diff``, in memory or in the file."""

    count: int
    source: str = ""
    values: NDArray[Any] | None = None
    file: BufferedReader | None = None
    offset: int = 0
    dtype: str = "<f4"

    def pieces(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Flat arrays, each with the place of its first number; the next one may use the same memory.

        Raises:
            WeightsError: the file has become shorter, or cannot be read any more.
        """
        if self.file is None:
            if self.values is not None:
                yield 0, self.values
            return
        size = _PIECE // np.dtype(self.dtype).itemsize
        memory = np.empty(min(size, self.count), self.dtype)
        for begin in range(0, self.count, size):
            piece = memory[: min(size, self.count - begin)]
            self._read(begin, piece)
            yield begin, piece

    def array(self) -> NDArray[Any]:
        """All of them, flat.

        Raises:
            WeightsError: as `pieces`.
        """
        if self.file is None:
            return np.empty(0, np.float32) if self.values is None else self.values
        whole = np.empty(self.count, self.dtype)
        self._read(0, whole)
        return whole

    def _read(self, begin: int, out: NDArray[Any]) -> None:
        assert self.file is not None
        try:
            self.file.seek(self.offset + begin * out.itemsize)
            complete = self.file.readinto(out.view(np.uint8).data) == out.nbytes
        except OSError as error:
            raise WeightsError(f"{self.source}: cannot be read: {reason(error)}.") from error
        if not complete:
            raise WeightsError(f"{self.source}: the file became shorter while it was read.")


class StoredBlobs:
    """Gives the numbers of the blobs of a message from `open_binary`, and of copies of them, while the file is open."""

    def __init__(self, found: dict[bytes, dict[int, Numbers]]) -> None:
        self._found = found

    def numbers(self, blob: BlobProto) -> tuple[Numbers, Numbers]:
        """Those of ``data`` and ``diff``: doubles where the file has doubles, else floats."""
        unknown: Any = UnknownFieldSet(blob)  # iterable, which the stubs don't know
        marks = [field.data for field in unknown if field.field_number == _MARK and field.wire_type == _BYTES]
        left_out = next((self._found[mark] for mark in marks if mark in self._found), {})
        inline = [Numbers(len(values), values=values) for values in blob_arrays(blob)]
        found = []
        for (single, double), own in zip(NUMBER_FIELDS.values(), inline, strict=True):
            doubles_inline = own.values is not None and own.values.dtype == np.float64
            found.append(left_out.get(double) or (own if doubles_inline else left_out.get(single, own)))
        return found[0], found[1]


@contextmanager
def open_binary(path: str | os.PathLike[str], message: Message) -> Iterator[StoredBlobs]:
    """Fill ``message`` as `read_binary` does, but for the numbers of large blobs: the `StoredBlobs` have them.

    Raises:
        WeightsError: as `read_binary`.
    """
    check_binary(path, message)
    with open(path, "rb") as file:
        walk = _Walk(file, os.fspath(path))
        try:
            short = walk.all(cast("Descriptor", message.DESCRIPTOR))
        except (ValueError, OSError):
            walk.found.clear()
            read_binary(path, message)
        else:
            parse_binary(path, short, message, os.fstat(file.fileno()).st_size)
        yield StoredBlobs(walk.found)


@cache
def _ways(message: Descriptor) -> dict[int, Descriptor]:
    """The fields of ``message`` that hold blobs, directly or further in."""
    kinds = [(field.number, field.message_type) for field in message.fields]
    return {
        number: kind
        for number, kind in kinds
        if kind is not None and (kind is _BLOB or (kind is not message and _ways(kind)))
    }


class _Field(NamedTuple):
    number: int
    wire: int
    #: Where tag, content and what follows begin.
    tag: int
    begin: int
    end: int


class _Walk:
    """Goes along a file; ``found`` holds by mark, and field of the blob, what was left out."""

    def __init__(self, file: BufferedReader, source: str) -> None:
        self.file = file
        self.source = source
        self.found: dict[bytes, dict[int, Numbers]] = {}
        self._secret = secrets.token_bytes(8)
        self._fields = 0

    def all(self, message: Descriptor) -> bytes:
        """The whole file's message without the numbers of large blobs."""
        status = os.fstat(self.file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BINARY:
            raise _Unusual
        return bytes(self._short(0, status.st_size, message))

    def _short(self, begin: int, end: int, message: Descriptor) -> bytearray:
        """The message of this kind that lies between ``begin`` and ``end``."""
        if message is _BLOB:
            return self._short_blob(begin, end)
        out, copied, ways = bytearray(), begin, _ways(message)
        for field in self._walk(begin, end):
            if field.wire == _BYTES and field.number in ways and field.end - field.begin >= _LARGE:
                inner = self._short(field.begin, field.end, ways[field.number])
                out += self._read(copied, field.tag) + field_header(field.number, len(inner)) + inner
                copied = field.end
        return out + self._read(copied, end)

    def _short_blob(self, begin: int, end: int) -> bytearray:
        places: dict[int, list[_Field]] = {}
        for field in self._walk(begin, end):
            places.setdefault(field.number, []).append(field)
        left_out: dict[int, Numbers] = {}
        out, copied = bytearray(), begin
        for number, fields in places.items():
            field, size = fields[0], fields[0].end - fields[0].begin
            width = int(_TYPES.get(number, "<f1")[2])
            # Numbers in several runs, or one by one, belong together: protobuf gathers them.
            if len(fields) > 1 or number not in _TYPES or field.wire != _BYTES or size < _LARGE or size % width:
                continue
            left_out[number] = Numbers(size // width, self.source, None, self.file, field.begin, _TYPES[number])
        for field in sorted((places[number][0] for number in left_out), key=lambda field: field.tag):
            out += self._read(copied, field.tag)
            copied = field.end
        out += self._read(copied, end)
        if left_out:
            # No file can have this mark: it would have to know the secret.
            mark = self._secret + len(self.found).to_bytes(4, "little")
            self.found[mark] = left_out
            out += field_header(_MARK, len(mark)) + mark
        return out

    def _walk(self, begin: int, end: int) -> Iterator[_Field]:
        """The fields of the message between ``begin`` and ``end``."""
        while begin < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise _Unusual
            self.file.seek(begin)
            head = self.file.read(min(20, end - begin))
            tag, used = read_varint(head, 0)
            number, wire = tag >> 3, tag & 7
            if wire == _BYTES:
                length, used = read_varint(head, used)
            elif wire == _VARINT:
                length, used = 0, read_varint(head, used)[1]
            elif wire in (_FIXED64, _FIXED32):
                length = 8 if wire == _FIXED64 else 4
            else:
                raise _Unusual
            field = _Field(number, wire, begin, begin + used, begin + used + length)
            if not 0 < number <= _MARK or field.end > end:
                raise _Unusual
            yield field
            begin = field.end

    def _read(self, begin: int, end: int) -> bytes:
        self.file.seek(begin)
        data = self.file.read(end - begin)
        if len(data) != end - begin:
            raise _Unusual
        return data
