"""Numbers of seven bits a byte."""

from __future__ import annotations

import pytest

from caffepy.proto.varint import read_varint, write_varint


@pytest.mark.parametrize(
    ("number", "data"), [(0, b"\0"), (1, b"\1"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2")]
)
def test_the_bytes_of_numbers(number: int, data: bytes) -> None:
    assert write_varint(number) == data


@pytest.mark.parametrize("number", [0, 127, 128, 300, 2**32, 2**63, 2**64 - 1])
def test_a_number_is_read_where_it_stands(number: int) -> None:
    data = write_varint(number)
    assert read_varint(b"x" + data + b"y", 1) == (number, 1 + len(data))
    assert read_varint(memoryview(data), 0) == (number, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10])
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="no number at byte 0"):
        read_varint(data, 0)
