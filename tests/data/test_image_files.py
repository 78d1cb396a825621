"""Image files: what reading one costs."""

from __future__ import annotations

import tracemalloc

import pytest

from caffepy.data import image_files
from caffepy.data.image_files import read_image_file
from caffepy.errors import DataError


def test_memory_is_that_of_the_file(tmp_path):
    """Once each read took a gibibyte for a moment, in each thread."""
    (tmp_path / "a.jpg").write_bytes(b"x" * 100_000)
    tracemalloc.start()
    try:
        path, data = read_image_file(str(tmp_path), "a.jpg")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert (path, data) == (str(tmp_path / "a.jpg"), b"x" * 100_000)


def test_more_than_memory_holds(tmp_path, monkeypatch):
    class Exhausted:
        def __init__(self, *_, **__):
            raise MemoryError

    (tmp_path / "a.jpg").write_bytes(b"x" * 1234)
    monkeypatch.setattr(image_files, "open", Exhausted, raising=False)
    with pytest.raises(DataError, match=r"image '.*a\.jpg': out of memory: the file has 1,234 bytes"):
        read_image_file(str(tmp_path), "a.jpg")
