"""The lines of a list that a user writes: of images, of HDF5 files."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["list_lines"]

_MAX_LINE = 1 << 20
_MAX_FILE = 1 << 30


def list_lines(path: str, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of the file ``path`` without their ends; bytes that are no text come as surrogates.

    Nothing is held but a line, and a file without end, such as /dev/zero, is given up.

    Raises:
        OSError: it cannot be read.
        ValueError: a name that no file has, a line or a file longer than any list's.
    """
    with open(path, encoding=encoding, errors="surrogateescape") as file:
        read = number = 0
        while line := file.readline(_MAX_LINE):
            read += len(line)
            number += 1
            if len(line) == _MAX_LINE or read > _MAX_FILE:
                raise ValueError(f"line {number} goes on behind {read:,} characters: it is no list")
            yield line.rstrip("\n")
