"""Lists that users write: their lines, and files that are no lists."""

from __future__ import annotations

import os
import tracemalloc
from itertools import islice

import pytest

from caffepy.data import hdf5_rows, list_file
from caffepy.data.hdf5_rows import read_file_list
from caffepy.data.image_list import read_list
from caffepy.data.list_file import list_lines
from caffepy.errors import DataError


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nb", ["a", "b"]),
        (b"a\r\n\r\n b \n", ["a", "", " b "]),
        (b"\n", [""]),
        ("größe 1".encode("latin-1"), ["gr\udcf6\udcdfe 1"]),
        (b"x" * ((1 << 20) - 2) + b"\ny", ["x" * ((1 << 20) - 2), "y"]),
    ],
)
def test_lines(tmp_path, content, lines):
    (tmp_path / "list").write_bytes(content)
    assert list(list_lines(str(tmp_path / "list"))) == lines


def test_a_byte_order_mark(tmp_path):
    (tmp_path / "list").write_bytes(b"\xef\xbb\xbfa 1\n")
    assert list(list_lines(str(tmp_path / "list"), "utf-8-sig")) == ["a 1"]


def test_a_line_that_does_not_end(tmp_path):
    with open(tmp_path / "list", "wb") as file:
        file.write(b"a 1\n")
        file.truncate(1 << 40)
    lines = list_lines(str(tmp_path / "list"))
    assert next(lines) == "a 1"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="line 2 goes on behind 1,048,580 characters: it is no list"):
            next(lines)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_list_that_does_not_end(tmp_path, monkeypatch):
    monkeypatch.setattr(list_file, "_MAX_FILE", 100)
    (tmp_path / "list").write_bytes(b"a b.jpg 1\n" * 11)
    lines = list_lines(str(tmp_path / "list"))
    assert len(list(islice(lines, 10))) == 10
    with pytest.raises(ValueError, match="line 11 goes on behind 110 characters"):
        next(lines)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no /dev/zero")
def test_readers_of_lists_give_up(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"cannot read the list of images '/dev/zero': line 1 goes on behind 1,048,576"):
        read_list("/dev/zero")
    with pytest.raises(DataError, match=r"Failed to open source file: '/dev/zero': line 1 goes on behind 1,048,576"):
        read_file_list("/dev/zero")
    with pytest.raises(DataError, match=r"cannot read the list of images 'a\0b': embedded null byte"):
        read_list("a\0b")
    monkeypatch.setattr(hdf5_rows, "_MOST_FILES", 5)
    (tmp_path / "list").write_text("a.h5 b.h5\nc.h5\n\nd.h5 e.h5\n")
    assert read_file_list(str(tmp_path / "list")) == ["a.h5", "b.h5", "c.h5", "d.h5", "e.h5"]
    (tmp_path / "list").write_text("a.h5\n" * 6)
    with pytest.raises(DataError, match=r"Failed to open source file: '.*list': it names more than 5 files"):
        read_file_list(str(tmp_path / "list"))
