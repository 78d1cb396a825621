"""The logs of a LevelDB: records in fragments that fill blocks."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.data.leveldb_log import log_record, read_log, read_span


@pytest.mark.parametrize("size", [0, 1, 32_760, 32_761, 32_762, 65_521, 65_522, 65_523, 200_000])
def test_logs(size):
    payload = np.random.default_rng(size).bytes(size)
    log = log_record(payload)
    (record,) = read_log(log)
    assert record.payload == payload
    for position in {0, 1, size // 3, 32_760, 32_761, 32_762, size - 1} & set(range(size)):
        length = min(size - position, 70_000)
        place = record.place(position)
        assert log[place] == payload[position]
        assert read_span(log[place:], place, length) == payload[position : position + length]
    # What the end of the file cuts off was never written.
    assert list(read_log(log[:-1])) == []


@pytest.mark.parametrize("first", [32_750, 32_755, 32_756, 32_761])
def test_logs_of_several_records(first):
    """Fragments that fill a block, and the few bytes at its end that hold no header."""
    parts = [b"a" * first, b"b" * 4, b"c" * 32_740, b"d"]
    log = b""
    for part in parts:
        left = -len(log) % 32_768
        log += bytes(left) if left < 7 else b""
        assert len(log) % 32_768 + 7 + len(part) <= 32_768
        log += log_record(part)
    assert [record.payload for record in read_log(log)] == parts


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\0" * 4 + b"\xff\xff\x01" + bytes(40_000), "a fragment at byte 0 is longer than its block"),
        (b"\0" * 4 + b"\x01\x00\x05x", "a fragment of kind 5 at byte 0 does not belong there"),
        (b"\0" * 4 + b"\x01\x00\x03x", "a fragment of kind 3 at byte 0 does not belong there"),
        (b"\0" * 4 + b"\x01\x00\x02x" + b"\0" * 4 + b"\x01\x00\x01x", "a fragment of kind 1 at byte 8 does not belong"),
    ],
)
def test_logs_that_are_none(data, match):
    with pytest.raises(ValueError, match=match):
        list(read_log(data))


def test_space_set_aside_in_a_log():
    assert list(read_log(bytes(40_000) + log_record(b"x")[:3])) == []
