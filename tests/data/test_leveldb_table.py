"""Blocks of a LevelDB's tables that are damaged."""

from __future__ import annotations

import importlib.util

import pytest

from caffepy.data.leveldb_table import block_content, entries


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"abc", "a block is too short"),
        (b"\xff\xff\xff\x7f", "claims 2147483647 restarts"),
        (b"\x01\x01\x00k\0\0\0\0\1\0\0\0", "an entry does not fit its block"),
        (b"\x00\x09\x00k\0\0\0\0\1\0\0\0", "an entry does not fit its block"),
        (b"\x00\x01\x05k\0\0\0\0\1\0\0\0", "an entry does not fit its block"),
        (b"\x00\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01k\0\0\0\0\1\0\0\0", "no number|does not fit"),
        (b"\x00\xff\x7f\x00" + b"k" * 16383 + b"\0\0\0\0\1\0\0\0", "an entry does not fit its block"),
    ],
)
def test_blocks_that_are_none(content, match):
    with pytest.raises(ValueError, match=match):
        list(entries(content))


@pytest.mark.skipif(importlib.util.find_spec("cramjam") is None, reason="cramjam is not installed: extra leveldb")
def test_blocks_that_cannot_be_unpacked():
    with pytest.raises(ValueError, match="a block is compressed in way 4"):
        block_content(b"data\x04\0\0\0\0")
    with pytest.raises(ValueError, match="a block of 5 bytes claims to hold 4294967295"):
        block_content(b"\xff\xff\xff\xff\x0f\x01\0\0\0\0")
    with pytest.raises(ValueError, match="a block cannot be unpacked"):
        block_content(b"\x20\xff\xff\xff\xff\xff\xff\x01\0\0\0\0")
