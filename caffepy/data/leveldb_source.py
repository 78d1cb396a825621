"""A LevelDB read by ordinal, without LevelDB: read-only, without its lock, by several nets at once.

LevelDB itself takes a lock, writes to the folder whenever it opens a database and will not open it twice; its Python
bindings are not built for all Pythons. A database that nobody writes to is a few files of a simple form: the sorted
tables, the log of entries that are not in one yet (in Caffe's databases often all of them), and a log that lists both.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from caffepy.data.leveldb_log import read_log, read_span
from caffepy.data.leveldb_table import TRAILER, Block, Entry, block_content, entries, table_blocks
from caffepy.data.source import Source, key_text
from caffepy.errors import DataError, reason
from caffepy.proto.varint import read_varint

__all__ = ["LeveldbSource"]

_COMPARATOR = b"leveldb.BytewiseComparator"
_MANIFEST = re.compile(r"MANIFEST-\d+", re.ASCII)
_DELETED, _PUT = 0, 1
# Fields of a manifest's records.
_COMPARED, _LOG, _NEXT, _LAST, _POINTER, _REMOVED, _ADDED, _PREVIOUS_LOG = 1, 2, 3, 4, 5, 6, 7, 9
_NUMBERS = (_LOG, _NEXT, _LAST, _PREVIOUS_LOG)
# A value longer than so is skipped, not read, where the keys are collected.
_SMALL = 1 << 14
_HEAD = 256
# Of one log or manifest; LevelDB's own are far smaller.
_MAX_LOG = 0x7FFFF000
# Keys may share their beginnings, so a small file could claim very much of them.
_MOST_KEY_BYTES = 16
# What is known of an entry: its file, the place and length of its block (a length of 0: it is in a log), and the place
# and length of its value in there.
_PLACE = np.dtype([("file", "<i4"), ("block", "<i8"), ("size", "<i8"), ("begin", "<i8"), ("length", "<i8")])

_INSTALL = (
    "its blocks are compressed with Snappy, and reading these needs the package cramjam: "
    "pip install 'caffepy[leveldb]'. Or convert it to an LMDB with Caffe's own tools."
)


class LeveldbSource(Source):
    """The records of a LevelDB, in the order of their keys, which is Caffe's order.

    All keys are read when it is opened; that of a large database is a pass through its files. It must not be written
    meanwhile. Checksums are not looked at, as in Caffe.

    Args:
        path: as the user wrote it, for messages.
        folder: of the database.

    Raises:
        DataError: damaged, cut short, empty; compressed, and the extra that unpacks it is not installed.
    """

    def __init__(self, path: str, folder: Path) -> None:
        self.path = path
        self._folder = folder
        self._files: list[_File] = []
        self._lock = threading.Lock()
        try:
            self._index()
        except BaseException:
            self.close()
            raise
        if not len(self):
            self.close()
            raise DataError(
                f"the LevelDB '{path}' has 0 records: convert_imageset made an empty database. Check the list file and "
                "the root folder: 'caffepy convert-imageset --dry-run' counts what is missing."
            )

    def __len__(self) -> int:
        return len(self._places)

    def key(self, ordinal: int) -> bytes:
        """The key of record ``ordinal``; needs no access to the files."""
        if not 0 <= ordinal < len(self):
            raise IndexError(f"record {ordinal} of '{self.path}', which has {len(self)}")
        return self._keys[self._bounds[ordinal] : self._bounds[ordinal + 1]]

    def read(self, ordinal: int) -> tuple[bytes, bytes]:
        key = self.key(ordinal)
        if not self._files:
            raise DataError(f"the LevelDB '{self.path}' was closed; record {ordinal} cannot be read.")
        number, block, size, begin, length = self._places[ordinal].tolist()
        file = self._files[number]
        try:
            if size:
                return key, block_content(file.read(block, size + TRAILER))[begin : begin + length]
            # One header of 7 bytes more for each block that the value goes on in.
            span = length + 7 * (length // 32761 + 2)
            value = read_span(file.read(begin, min(span, file.size - begin)), begin, length)
        except ImportError as error:
            raise DataError(f"the LevelDB '{self.path}': {_INSTALL}") from error
        except (OSError, ValueError) as error:
            raise DataError(
                f"record '{key_text(key)}' of the LevelDB '{self.path}' cannot be read: {error} ({file.path})."
            ) from error
        return key, value

    def close(self) -> None:
        with self._lock:
            for file in self._files:
                file.close()
            self._files = []

    def _index(self) -> None:
        found: list[tuple[bytes, int, int, tuple[int, int, int, int, int]]] = []
        room = 1 << 20
        for name, parse in self._live():
            try:
                file = _File(self._folder / name)
                self._files.append(file)
                room += _MOST_KEY_BYTES * file.size
                for key, sequence, kind, place in parse(file):
                    found.append((key, -sequence, kind, (len(self._files) - 1, *place)))
                    room -= len(key)
                    if room < 0:
                        raise ValueError("its keys are longer than its size allows")
            except ImportError as error:
                raise DataError(f"the LevelDB '{self.path}': {_INSTALL}") from error
            except (OSError, ValueError, struct.error) as error:
                raise self._damaged(f"{name}: {reason(error)}") from error
            except MemoryError as error:
                raise DataError(f"the LevelDB '{self.path}': out of memory with the keys of {name}.") from error
        # By key, the newest first; stable, so a log's later entry of one sequence would not matter.
        found.sort(key=lambda entry: entry[:2])
        newest = [entry for i, entry in enumerate(found) if not i or found[i - 1][0] != entry[0]]
        newest = [entry for entry in newest if entry[2] == _PUT]
        self._places = np.array([entry[3] for entry in newest], _PLACE)
        self._bounds: NDArray[np.int64] = np.zeros(len(newest) + 1, np.int64)
        np.cumsum([len(entry[0]) for entry in newest], out=self._bounds[1:])
        self._keys = b"".join(entry[0] for entry in newest)

    def _live(self) -> Iterator[tuple[str, _Parse]]:
        """Names of the tables and logs that hold the database now, as its manifest says."""
        tables, log_number, previous = self._manifest()
        for number in sorted(tables):
            names = [f"{number:06d}.ldb", f"{number:06d}.sst"]
            yield next((name for name in names if (self._folder / name).is_file()), names[0]), _table_entries
        logs = [int(entry.stem) for entry in self._folder.glob("*.log") if entry.stem.isdigit()]
        for number in sorted(logs):
            if number >= log_number or number == previous != 0:
                yield f"{number:06d}.log", _log_entries

    def _manifest(self) -> tuple[set[int], int, int]:
        current = self._folder / "CURRENT"
        try:
            with current.open("rb") as file:
                name = file.read(64).decode("ascii", "backslashreplace").strip()
            if not _MANIFEST.fullmatch(name):
                raise ValueError(f"it names no manifest: {name!r}")
            size = (self._folder / name).stat().st_size
            if size > _MAX_LOG:
                raise ValueError(f"{name} has {size:,} bytes")
            return _live_files((self._folder / name).read_bytes())
        except (OSError, ValueError) as error:
            raise self._damaged(f"CURRENT: {reason(error)}") from error

    def _damaged(self, text: str) -> DataError:
        return DataError(
            f"the LevelDB '{self.path}' is damaged or incomplete: {text}. Copy it again, or run the conversion again."
        )


class _File:
    """A file that several threads may read from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = os.fstat(self._descriptor).st_size
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            data = os.pread(self._descriptor, length, offset)
        else:
            with self._lock:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                data = os.read(self._descriptor, length)
        if len(data) != length:
            raise ValueError(f"{length} bytes at byte {offset} are not there")
        return data

    def close(self) -> None:
        os.close(self._descriptor)


#: Gives (key, sequence, kind, (block, size, begin, length)) of each entry of a file.
_Parse: TypeAlias = Callable[[_File], Iterator[tuple[bytes, int, int, tuple[int, int, int, int]]]]


def _table_entries(file: _File) -> Iterator[tuple[bytes, int, int, tuple[int, int, int, int]]]:
    for block in table_blocks(file.read, file.size):
        alone = _alone(file, block) if block.size > _SMALL else None
        for entry in [alone] if alone else entries(block_content(file.read(block.offset, block.size + TRAILER))):
            if len(entry.key) < 8:
                raise ValueError(f"a key of {len(entry.key)} bytes in the block at byte {block.offset}")
            (packed,) = struct.unpack("<Q", entry.key[-8:])
            yield entry.key[:-8], packed >> 8, packed & 255, (*block, entry.begin, entry.end - entry.begin)


def _alone(file: _File, block: Block) -> Entry | None:
    """The only entry of a block that is not compressed, without reading its value; None where that cannot be."""
    if file.read(block.offset + block.size, 1) != b"\0":
        return None
    head = file.read(block.offset, _HEAD)
    shared, position = read_varint(head, 0)
    rest, position = read_varint(head, position)
    length, position = read_varint(head, position)
    begin = position + rest
    # After it come the one restart and the count of them.
    if shared or begin > _HEAD or begin + length + 8 != block.size:
        return None
    return Entry(head[position:begin], begin, begin + length)


def _log_entries(file: _File) -> Iterator[tuple[bytes, int, int, tuple[int, int, int, int]]]:
    if file.size > _MAX_LOG:
        raise ValueError(f"a log of {file.size:,} bytes")
    for record in read_log(file.read(0, file.size)):
        payload = record.payload
        if len(payload) < 12:
            raise ValueError(f"the record at byte {record.offset} has {len(payload)} bytes, less than its head")
        sequence, count = struct.unpack_from("<QI", payload)
        position = 12
        for number in range(count):
            kind = payload[position] if position < len(payload) else -1
            key, position = _text(payload, position + 1)
            length = begin = 0
            if kind == _PUT:
                length, begin = read_varint(payload, position)
                position = begin + length
            if kind not in (_DELETED, _PUT) or position > len(payload):
                raise ValueError(f"entry {number} of the record at byte {record.offset} does not fit it")
            yield key, sequence + number, kind, (0, 0, record.place(begin), length)


def _text(data: bytes, position: int) -> tuple[bytes, int]:
    length, position = read_varint(data, position)
    if position + length > len(data):
        raise ValueError(f"a text of {length} bytes at byte {position} does not fit")
    return data[position : position + length], position + length


def _live_files(data: bytes) -> tuple[set[int], int, int]:
    """From a manifest: the numbers of the tables, of the first log that still counts, and of one before it."""
    tables: set[int] = set()
    numbers: dict[int, int] = {}
    compared = b""
    for record in read_log(data):
        edit, position = record.payload, 0
        while position < len(edit):
            tag, position = read_varint(edit, position)
            if tag == _COMPARED:
                compared, position = _text(edit, position)
            elif tag in _NUMBERS:
                numbers[tag], position = read_varint(edit, position)
            elif tag == _POINTER:
                _, position = read_varint(edit, position)
                _, position = _text(edit, position)
            elif tag in (_REMOVED, _ADDED):
                _, position = read_varint(edit, position)
                number, position = read_varint(edit, position)
                if tag == _REMOVED:
                    tables.discard(number)
                    continue
                tables.add(number)
                _, position = read_varint(edit, position)
                for _ in ("smallest", "largest"):
                    _, position = _text(edit, position)
            else:
                raise ValueError(f"the manifest has a field {tag} that LevelDB does not know")
    if compared != _COMPARATOR:
        raise ValueError(f"keys are ordered by {compared!r}, expected {_COMPARATOR!r}")
    if _LOG not in numbers:
        raise ValueError("the manifest does not say which log counts")
    return tables, numbers[_LOG], numbers.get(_PREVIOUS_LOG, 0)
