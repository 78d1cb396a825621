"""Whether an LMDB file is whole, found out before the LMDB library maps it.

That library trusts its pages: one that points outside the file ends the process (SIGBUS, SIGSEGV, a failed assertion),
and nothing in Python can catch that. So every page that reading all records goes through is looked at first, read as an
ordinary file: page numbers, kinds and counts, and that each key and value lies in its page, large values in the file.
A file that passes can still hold wrong records, but reading it stays inside it, for as long as nobody changes it.

The layout is that of LMDB 0.9 on 64-bit machines of little-endian byte order (mdb.c: MDB_page, MDB_node, MDB_meta).
A tree is checked level by level, each level some pages at a time: twenty thousand pages take about a tenth of a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caffepy.errors import DataError

__all__ = ["check_pages"]

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_PAGE = np.dtype([("number", "<u8"), ("pad", "<u2"), ("flags", "<u2"), ("lower", "<u2"), ("upper", "<u2")])
_TREE = np.dtype(
    [("pad", "<u4"), ("flags", "<u2"), ("depth", "<u2"), ("pages", "<u8", 3), ("entries", "<u8"), ("root", "<u8")]
)
_META = np.dtype(
    [
        ("magic", "<u4"),
        ("version", "<u4"),
        ("address", "<u8"),
        ("map_size", "<u8"),
        ("trees", _TREE, 2),
        ("last", "<u8"),
        ("transaction", "<u8"),
    ]
)
_HEADER = _PAGE.itemsize
_NODE = 8
_BRANCH, _LEAF, _META_PAGE, _KINDS = 0x01, 0x02, 0x08, 0x6F
_BIG_VALUE, _DUPLICATES = 0x01, 0x04
_NONE = 2**64 - 1
_AT_ONCE = 2048


class _File(NamedTuple):
    path: str
    file: FileIO
    size: int
    page_size: int

    def damaged(self, what: str) -> DataError:
        return DataError(f"the LMDB '{self.path}' is damaged: {what}. Run the conversion again, or copy it again.")


def check_pages(path: str, file: str | os.PathLike[str]) -> None:
    """Look through ``file``, a ``data.mdb``; ``path`` is what messages call it.

    Raises:
        DataError: damaged or cut short.
        OSError: it cannot be read.
    """
    with open(file, "rb", buffering=0) as opened:
        size = os.fstat(opened.fileno()).st_size
        page_size, root, last = _meta(_File(path, opened, size, 0))
        whole = _File(path, opened, size, page_size)
        needed = (last + 1) * page_size
        if size < needed:
            # In the words of those who copy and download.
            raise DataError(
                f"the LMDB '{path}' is cut short: {os.fspath(file)} has {size} bytes of at least {needed}. "
                "An interrupted copy or download, or a full disk: copy it again."
            )
        if root != _NONE:
            _check_tree(whole, root, last)


def _meta(whole: _File) -> tuple[int, int, int]:
    """Page size, root of the records and last page, from the newer of the two meta pages."""
    found = []
    page_size = 0
    for i in range(2):
        whole.file.seek(i * page_size)
        head = whole.file.read(_HEADER + _META.itemsize) or b""
        if len(head) < _HEADER + _META.itemsize:
            raise whole.damaged(f"it ends in meta page {i}")
        page = np.frombuffer(head, _PAGE, 1)[0]
        meta = np.frombuffer(head, _META, 1, _HEADER)[0]
        if not page["flags"] & _META_PAGE or meta["magic"] != _MAGIC:
            raise whole.damaged(f"meta page {i} is not one (MDB_INVALID)")
        if meta["version"] != _VERSION:
            raise whole.damaged(f"its version is {meta['version']}, expected {_VERSION} (MDB_VERSION_MISMATCH)")
        page_size = int(meta["trees"][0]["pad"])
        if not 256 <= page_size <= 1 << 16 or page_size & page_size - 1:
            raise whole.damaged(f"its pages have {page_size} bytes")
        found.append(meta)
    if found[0]["trees"][0]["pad"] != found[1]["trees"][0]["pad"]:
        raise whole.damaged("its two meta pages differ in the size of a page")
    meta = found[int(found[1]["transaction"] > found[0]["transaction"])]
    tree = meta["trees"][1]
    if tree["flags"]:
        raise whole.damaged(f"its records have flags {int(tree['flags']):#x}, which Caffe's databases never have")
    return page_size, int(tree["root"]), int(meta["last"])


def _check_tree(whole: _File, root: int, last: int) -> None:
    """All pages from ``root`` down: each is a whole branch or leaf page and is reached once."""
    level = np.array([root], np.uint64)
    reached = 0
    # Each level has twice as many pages as the one above it, at least: a file's size bounds the depth.
    while True:
        reached += len(level)
        if reached > last or len(np.unique(level)) < len(level):
            raise whole.damaged("its tree of pages runs in circles")
        below: list[NDArray[np.uint64]] = []
        kinds: set[int] = set()
        for numbers in np.array_split(level, -(-len(level) // _AT_ONCE)):
            if numbers.max() > last or numbers.min() < 2:
                raise whole.damaged(f"it refers to page {numbers.max()} of {last + 1}")
            for kind, children in _check_level(whole, numbers):
                kinds.add(kind)
                below.append(children)
        if kinds == {_LEAF}:
            return
        if kinds != {_BRANCH}:
            raise whole.damaged("its tree of pages is not of one depth")
        level = np.concatenate(below)


def _check_level(whole: _File, numbers: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    """Check pages of one level; gives for each kind of page among them the pages that they refer to."""
    pages = np.empty((len(numbers), whole.page_size), np.uint8)
    # Pages in a row are read in one go; a tree that was written in order has long ones.
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[:1]) != 1)
    for begin, end in zip(begins, [*begins[1:], len(numbers)], strict=True):
        whole.file.seek(int(numbers[begin]) * whole.page_size)
        if whole.file.readinto(pages[begin:end].data) < pages[begin:end].nbytes:
            raise whole.damaged(f"page {numbers[begin]}, or one soon after it, is cut off")
    head = pages[:, :_HEADER].copy().view(_PAGE)[:, 0]
    wrong = head["number"] != numbers
    if wrong.any():
        raise whole.damaged(f"page {numbers[wrong][0]} has the number {head['number'][wrong][0]}")
    kinds = head["flags"] & _KINDS
    for kind in np.unique(kinds).tolist():
        if kind not in (_BRANCH, _LEAF):
            raise whole.damaged(f"page {numbers[kinds == kind][0]} is of kind {kind:#x}")
        chosen = kinds == kind
        which = slice(None) if chosen.all() else chosen
        yield kind, _check_nodes(whole, pages[which], head[which], numbers[which], kind)


def _check_nodes(
    whole: _File, pages: NDArray[np.uint8], head: NDArray[np.void], numbers: NDArray[np.uint64], kind: int
) -> NDArray[np.uint64]:
    """Check the nodes (entries) of pages of one kind; gives the pages that branch pages refer to."""
    lower, upper = head["lower"].astype(np.int64), head["upper"].astype(np.int64)
    counts = (lower - _HEADER) >> 1
    # The library asserts that a branch has two entries.
    bad = (lower < _HEADER) | (lower > upper) | (upper > whole.page_size) | (counts < (2 if kind == _BRANCH else 1))
    if bad.any():
        raise whole.damaged(f"page {numbers[bad][0]} has its entries from {lower[bad][0]} to {upper[bad][0]}")
    row = np.repeat(np.arange(len(pages)), counts)
    place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    offset = _halves(pages, row, _HEADER + 2 * place)
    outside = (offset < np.repeat(lower, counts)) | (offset > whole.page_size - _NODE)
    if outside.any():
        raise whole.damaged(f"an entry of page {numbers[row[outside]][0]} lies outside it")
    low, high, flags, key_size = (_halves(pages, row, offset + 2 * i) for i in range(4))
    end = offset + _NODE + key_size
    if kind == _BRANCH:
        # Here the flags are the upper part of a page number.
        children: NDArray[np.uint64] = (low | high << 16 | flags << 32).astype(np.uint64)
    else:
        children = np.empty(0, np.uint64)
        if (flags & _DUPLICATES).any():
            raise whole.damaged("it has several values for a key, which Caffe's databases never have")
        big = (flags & _BIG_VALUE) != 0
        size = low | high << 16
        end += np.where(big, 8, size)
    outside = end > whole.page_size
    if outside.any():
        raise whole.damaged(f"an entry of page {numbers[row[outside]][0]} lies outside it")
    if kind == _LEAF and big.any():
        _check_big(whole, pages, row[big], (end - 8)[big], size[big], numbers)
    return children


def _check_big(
    whole: _File,
    pages: NDArray[np.uint8],
    row: NDArray[np.int64],
    place: NDArray[np.int64],
    size: NDArray[np.int64],
    numbers: NDArray[np.uint64],
) -> None:
    """Values that have pages of their own: that those are in the file."""
    first = sum(_halves(pages, row, place + 2 * i).astype(np.uint64) << np.uint64(16 * i) for i in range(4))
    pages_of = (size + _HEADER + whole.page_size - 1) // whole.page_size
    count = np.uint64(whole.size // whole.page_size)
    # Compared by subtraction: a sum of damaged numbers may overflow.
    outside = (first < 2) | (first > count) | (pages_of.astype(np.uint64) > count - np.minimum(first, count))
    if outside.any():
        raise whole.damaged(f"a record of page {numbers[row[outside]][0]} ends after the file")


def _halves(pages: NDArray[np.uint8], row: NDArray[np.int64], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """The 16-bit numbers at ``offset`` in the pages ``row``."""
    return pages[row, offset].astype(np.int64) | pages[row, offset + 1].astype(np.int64) << 8
