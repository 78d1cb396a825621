"""LevelDB's logs, a chain of records in blocks of 32 KiB: the newest entries of a database, and its list of tables.

Each record is cut into fragments, none across the end of a block: checksum (4 bytes), length (2), kind (1: whole, 2, 3
and 4: first, middle, last), payload. As in LevelDB a record that the end of the file cuts off was never written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from caffepy.data.crc32c import crc32c

__all__ = ["LogRecord", "log_record", "masked", "read_log", "read_span"]

_BLOCK = 1 << 15
_HEADER = 7
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class LogRecord(NamedTuple):
    """A record's bytes, and where in the file the first of them is."""

    payload: bytes
    offset: int

    def place(self, position: int) -> int:
        """Where in the file byte ``position`` is."""
        room = _BLOCK - self.offset % _BLOCK
        if position < room:
            return self.offset + position
        blocks, rest = divmod(position - room, _BLOCK - _HEADER)
        return self.offset + room + blocks * _BLOCK + _HEADER + rest


def read_log(data: bytes) -> Iterator[LogRecord]:
    """The records of a log file.

    Raises:
        ValueError: something else than such a chain.
    """
    parts: list[bytes] = []
    begin, position = 0, 0
    while position + _HEADER <= len(data):
        if _BLOCK - position % _BLOCK < _HEADER:
            position += _BLOCK - position % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        start, end = position + _HEADER, position + _HEADER + length
        if kind == 0 and length == 0:
            # Space that was set aside and never written.
            position += _BLOCK - position % _BLOCK
            continue
        if end > position - position % _BLOCK + _BLOCK:
            raise ValueError(f"a fragment at byte {position} is longer than its block")
        if end > len(data):
            return
        if kind not in (_WHOLE, _FIRST, _MIDDLE, _LAST) or (kind in (_WHOLE, _FIRST)) == bool(parts):
            raise ValueError(f"a fragment of kind {kind} at byte {position} does not belong there")
        if not parts:
            begin = start
        parts.append(data[start:end])
        if kind in (_WHOLE, _LAST):
            yield LogRecord(b"".join(parts), begin)
            parts = []
        position = end


def read_span(data: bytes, offset: int, length: int) -> bytes:
    """``length`` bytes of one record out of ``data``, which was read from the file at ``offset`` on."""
    room = _BLOCK - offset % _BLOCK
    parts, position = [data[: min(room, length)]], room
    left = length - len(parts[0])
    while left > 0:
        part = data[position + _HEADER : position + min(_BLOCK, _HEADER + left)]
        parts.append(part)
        left -= len(part)
        position += _BLOCK
        if not part:
            break
    return b"".join(parts)


def log_record(payload: bytes) -> bytes:
    """A log file of one record."""
    out, position, kind = [], 0, _FIRST
    while True:
        part = payload[position : position + _BLOCK - _HEADER]
        position += len(part)
        if position == len(payload):
            kind = _WHOLE if kind == _FIRST else _LAST
        out.append(struct.pack("<IHB", masked(bytes([kind]) + part), len(part), kind) + part)
        if position == len(payload):
            return b"".join(out)
        kind = _MIDDLE


def masked(data: bytes) -> int:
    """The checksum of ``data`` as LevelDB stores it."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
