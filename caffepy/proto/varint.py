"""Numbers of seven bits a byte, the lowest first: protobuf's varints, and LevelDB's."""

from __future__ import annotations

__all__ = ["read_varint", "write_varint"]

# Bytes of 64 bits.
_LONGEST = 10


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """The number at ``position``, and where it ends.

    Raises:
        ValueError: it is longer than 64 bits, or the data ends in it.
    """
    value = shift = 0
    for place in range(position, min(position + _LONGEST, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ValueError(f"no number at byte {position}")


def write_varint(value: int) -> bytes:
    """The bytes of ``value``."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
