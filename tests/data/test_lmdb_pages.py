"""LMDB files whose pages lead out of the file: each kind of damage by itself, at the byte where it lies."""

from __future__ import annotations

import struct

import pytest

from caffepy.data.lmdb_pages import check_pages
from caffepy.errors import DataError

PAGE = 4096


class Database:
    """A data.mdb with three levels of pages, large values and small ones, to be damaged."""

    def __init__(self, folder):
        self.file = folder / "data.mdb"
        self.bytes = bytearray(self.file.read_bytes())
        metas = [self.number(16 + 24 + 48 * 2 + 8 + i * PAGE, 8) for i in range(2)]
        self.meta = PAGE * (metas[1] > metas[0]) + 16
        self.root = self.number(self.meta + 24 + 48 + 40, 8) * PAGE
        self.inner = self.child(self.root, 0)
        self.leaf = self.child(self.inner, 0)

    def number(self, place: int, size: int) -> int:
        return int.from_bytes(self.bytes[place : place + size], "little")

    def put(self, place: int, size: int, value: int) -> Database:
        self.bytes[place : place + size] = value.to_bytes(size, "little")
        return self

    def node(self, page: int, index: int) -> int:
        return page + self.number(page + 16 + 2 * index, 2)

    def child(self, page: int, index: int) -> int:
        low, high, flags = struct.unpack_from("<HHH", self.bytes, self.node(page, index))
        return (low | high << 16 | flags << 32) * PAGE

    def check(self) -> None:
        self.file.write_bytes(self.bytes)
        check_pages("db", self.file)


@pytest.fixture
def database(make_lmdb):
    # Inline values of 1900 bytes, two to a page, and every seventh on pages of its own: some 900 leaf pages.
    values = [bytes([i % 251]) * (9000 if i % 7 == 0 else 1900) for i in range(1000)]
    database = Database(make_lmdb(values))
    assert database.number(database.root + 10, 2) == 1
    return database


def test_whole(database):
    database.check()


def test_the_second_meta_page_counts_where_it_is_newer(database):
    other = PAGE + 16 if database.meta == 16 else 16
    database.put(other + 24 + 48 + 40, 8, 10**9).check()
    with pytest.raises(DataError, match="refers to page 1000000000 of"):
        database.put(other + 128, 8, 2**40).check()


@pytest.mark.parametrize(
    ("place", "size", "value", "said"),
    [
        ("meta", (0, 4), 0xBEEFC0DF, r"meta page \d is not one \(MDB_INVALID\)"),
        ("meta", (4, 4), 2, r"its version is 2, expected 1 \(MDB_VERSION_MISMATCH\)"),
        ("meta", (24, 4), 0, "its pages have 0 bytes|differ in the size of a page"),
        ("meta", (24 + 48 + 4, 2), 4, "its records have flags 0x4"),
        ("meta", (24 + 48 + 40, 8), 1, "refers to page 1 of"),
        ("meta", (24 + 48 + 40, 8), 2**63, "refers to page 9223372036854775808 of"),
        ("meta", (120, 8), 2**62, "is cut short"),
        ("root", (0, 8), 3, "has the number 3"),
        ("root", (10, 2), 4, "is of kind 0x4"),
        ("root", (10, 2), 2, "lies outside it|several values|after the file|not of one depth"),
        ("leaf", (10, 2), 1, "not of one depth|has its entries|refers to page|has the number"),
        ("inner", (12, 2), 18, "has its entries from 18 to"),
        ("inner", (12, 2), 8, "has its entries from 8 to"),
        ("leaf", (12, 2), 16, "has its entries from 16 to"),
        ("leaf", (14, 2), 5000, "has its entries from [0-9]+ to 5000"),
        ("leaf", (12, 2), 4000, "has its entries from 4000 to"),
        ("leaf", (16, 2), 4089, "lies outside it"),
        ("leaf", (16, 2), 15, "lies outside it"),
    ],
)
def test_damage_to_a_page(database, place, size, value, said):
    at, width = size
    with pytest.raises(DataError, match=said):
        database.put(getattr(database, place) + at, width, value).check()


@pytest.mark.parametrize(
    ("index", "at", "value", "said"),
    [
        (0, 4, 1 | 2**14, None),
        (0, 4, 5, "several values for a key"),
        (0, 6, 4090, "lies outside it"),
        (1, 6, 4090, "lies outside it"),
        (1, 0, 4090, "lies outside it"),
        (1, 2, 1, "lies outside it"),
        (0, 2, 0x7FFF, "ends after the file"),
        (0, 16, 0xFFFF, "ends after the file"),
        (0, 22, 0xFFFF, "ends after the file"),
    ],
)
def test_damage_to_an_entry(database, index, at, value, said):
    """Entry 0 of the first leaf is a value on pages of its own, entry 1 one in the page; keys have 8 bytes."""
    database.put(database.node(database.leaf, index) + at, 2, value)
    if said is None:
        database.check()
        return
    with pytest.raises(DataError, match=said):
        database.check()


def test_pages_that_run_in_circles(database):
    root = database.root // PAGE
    node = database.node(database.root, 1)
    with pytest.raises(DataError, match=r"not of one depth|runs in circles"):
        database.put(node, 4, root).check()
    first = database.child(database.root, 0) // PAGE
    with pytest.raises(DataError, match="runs in circles"):
        database.put(node, 4, first).check()


def test_a_file_of_one_page(database):
    database.bytes = database.bytes[:100]
    with pytest.raises(DataError, match="it ends in meta page 0"):
        database.check()


def test_page_sizes_that_differ(database):
    with pytest.raises(DataError, match="its two meta pages differ in the size of a page"):
        database.put(PAGE + 16 + 24, 4, 8192).check()
