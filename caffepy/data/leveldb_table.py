"""LevelDB's tables: files of sorted entries in blocks, with an index of the blocks at the end.

A block holds entries, each the length it shares with the key before it, the lengths of the rest of its key and of its
value, then both; then the places where nothing is shared, and how many these are. After a block come one byte for how
it is compressed (0 not, 1 Snappy) and a checksum. A key of a table is the user's and eight bytes: sequence and kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from caffepy.proto.varint import read_varint

__all__ = ["FOOTER", "MAGIC", "TRAILER", "Block", "Entry", "block_content", "entries", "handle", "table_blocks"]

#: Bytes at the end of a table, and after each block.
FOOTER, TRAILER = 48, 5
MAGIC = 0xDB4775248B80FB57
# Snappy's longest copy is 64 bytes out of 3.
_MOST_GROWTH = 22
# Longer than any path.
_MAX_KEY = 8192

Read = Callable[[int, int], bytes]


class Block(NamedTuple):
    """Where a block begins in its file, and its length without the trailer."""

    offset: int
    size: int


class Entry(NamedTuple):
    """A key, and where in the block's content its value lies."""

    key: bytes
    begin: int
    end: int


def handle(data: bytes, position: int = 0) -> tuple[Block, int]:
    """The place of a block written at ``position``, and where that ends."""
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return Block(offset, size), position


def table_blocks(read: Read, size: int) -> Iterator[Block]:
    """The blocks of a table of ``size`` bytes, of which ``read(offset, length)`` gives some.

    Raises:
        ValueError: not a table, or blocks that lie outside it or in each other.
    """
    if size < FOOTER:
        raise ValueError(f"{size} bytes are less than a table's end")
    footer = read(size - FOOTER, FOOTER)
    if struct.unpack_from("<Q", footer, FOOTER - 8)[0] != MAGIC:
        raise ValueError("it does not end as a table does")
    _, position = handle(footer)
    index, _ = handle(footer, position)
    _check(index, 0, size - FOOTER)
    content = block_content(read(index.offset, index.size + TRAILER))
    end = 0
    for entry in entries(content):
        block, _ = handle(content[entry.begin : entry.end])
        _check(block, end, size - FOOTER)
        end = block.offset + block.size + TRAILER
        yield block


def _check(block: Block, begin: int, end: int) -> None:
    if not begin <= block.offset <= block.offset + block.size + TRAILER <= end:
        raise ValueError(f"a block of {block.size} bytes at byte {block.offset} lies outside its place")


def block_content(stored: bytes) -> bytes:
    """What a block holds, from its bytes with the trailer.

    Raises:
        ValueError: it cannot be unpacked. ImportError: it needs the extra that is not installed.
    """
    kind, data = stored[-TRAILER], stored[:-TRAILER]
    if kind == 0:
        return data
    if kind != 1:
        raise ValueError(f"a block is compressed in way {kind}; LevelDB's are 0 and 1 (Snappy)")
    import cramjam

    length, _ = read_varint(data, 0)
    if length > _MOST_GROWTH * len(data) + 64:
        raise ValueError(f"a block of {len(data)} bytes claims to hold {length}")
    try:
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise ValueError(f"a block cannot be unpacked: {error}") from error


def entries(content: bytes) -> Iterator[Entry]:
    """The entries of a block, in order.

    Raises:
        ValueError: a count or length that does not fit.
    """
    if len(content) < 4:
        raise ValueError("a block is too short")
    (restarts,) = struct.unpack_from("<I", content, len(content) - 4)
    end = len(content) - 4 - 4 * restarts
    if end < 0:
        raise ValueError(f"a block of {len(content)} bytes claims {restarts} restarts")
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(content, position)
        rest, position = read_varint(content, position)
        length, position = read_varint(content, position)
        if shared > len(key) or shared + rest > _MAX_KEY or position + rest + length > end:
            raise ValueError("an entry does not fit its block")
        key = key[:shared] + content[position : position + rest]
        position += rest
        yield Entry(key, position, position + length)
        position += length
