"""The checksum of a LevelDB's blocks and records."""

from __future__ import annotations

import numpy as np

from caffepy.data.crc32c import crc32c


def slow_crc(data):
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def test_checksums():
    assert crc32c(b"123456789") == 0xE3069283
    # RFC 3720, B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    for size in (0, 1, 4095, 4096, 4097, 5119, 5120, 12_345):
        data = np.random.default_rng(size).bytes(size)
        assert crc32c(data) == slow_crc(data), size
