"""Writing a LevelDB, without LevelDB, so that it appears whole or not at all."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from caffepy.data.leveldb_log import log_record, masked
from caffepy.data.leveldb_table import FOOTER, MAGIC, Block
from caffepy.data.new_folder import new_folder
from caffepy.data.source import key_text
from caffepy.errors import DataError
from caffepy.proto.varint import write_varint

__all__ = ["LeveldbWriter"]

_BLOCK = 4096
# Smaller tables than LevelDB would need for the same, and few enough to be open at once.
_TABLE = 1 << 26
_RESTART_EVERY = 16
# The last level, where LevelDB never moves a table further.
_LEVEL = 6
_MANIFEST = "MANIFEST-000001"
_PUT = 1


class LeveldbWriter:
    """A new LevelDB at ``path``, made beside it under a hidden name and renamed when the block ends without an error.

    ::

        with LeveldbWriter("train_leveldb") as writer:
            writer.put(b"00000000_cat.jpg", datum.SerializeToString())

    Records must come in the order of their keys. They are not compressed: compressed images gain nothing by it. LevelDB
    1.x, and so Caffe, opens the result as one of its own.

    Raises:
        DataError: ``path`` exists, its folder does not, or the disk refuses a write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        #: Records put so far.
        self.count = 0
        self._last_key = b""
        self._table: _Table | None = None
        #: Of each finished table: number, size, first and last key as stored.
        self._tables: list[tuple[int, int, bytes, bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> LeveldbWriter:
        try:
            self._folder = self._stack.enter_context(new_folder(self.path))
        except OSError as error:
            raise DataError(f"cannot make the database '{self.path}': {error}.") from error
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record.

        Raises:
            DataError: the disk refuses it, or the key is not above the one before.
        """
        if key <= self._last_key:
            what = "would have two records" if key == self._last_key and key else "needs its keys in rising order; got"
            raise DataError(f"the database '{self.path}' {what} '{key_text(key)}'.")
        self._last_key = key
        self.count += 1
        try:
            if self._table is None:
                self._table = _Table(self._folder / f"{self._next_number():06d}.ldb")
            self._table.add(key + struct.pack("<Q", self.count << 8 | _PUT), value)
            if self._table.size >= _TABLE:
                self._finish_table()
        except OSError as error:
            raise DataError(f"cannot write the database '{self.path}': {error}.") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            if self._table is not None:
                self._table.file.close()
            self._stack.__exit__(kind, error, traceback)
            return
        try:
            # The context of the folder must see an error here, or it would keep the folder.
            with self._stack.pop_all():
                self._finish_table()
                self._write_manifest()
        except OSError as failure:
            raise DataError(f"cannot finish the database '{self.path}': {failure}.") from failure

    def _next_number(self) -> int:
        return len(self._tables) + 2

    def _finish_table(self) -> None:
        if self._table is not None:
            table, self._table = self._table, None
            self._tables.append((self._next_number(), table.finish(), table.first_key, table.last_key))

    def _write_manifest(self) -> None:
        number = self._next_number()
        edit = b"\x01" + _text(b"leveldb.BytewiseComparator")
        # The log that counts next, which is not there; the file that comes next; the last sequence.
        edit += b"\x02" + write_varint(number) + b"\x03" + write_varint(number + 1) + b"\x04" + write_varint(self.count)
        for table, size, first, last in self._tables:
            edit += (
                b"\x07" + write_varint(_LEVEL) + write_varint(table) + write_varint(size) + _text(first) + _text(last)
            )
        for name, data in ((_MANIFEST, log_record(edit)), ("CURRENT", f"{_MANIFEST}\n".encode()), ("LOCK", b"")):
            with open(self._folder / name, "wb") as file:
                file.write(data)
                _sync(file)


class _Table:
    """A table being written."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = open(path, "wb")  # noqa: SIM115 - open from put to put
        #: Bytes in finished blocks.
        self.size = 0
        self.first_key = self.last_key = b""
        self._block = _BlockOfEntries()
        self._index = _BlockOfEntries(restart_every=1)

    def add(self, key: bytes, value: bytes) -> None:
        self.first_key = self.first_key or key
        self.last_key = key
        self._block.add(key, value)
        if self._block.size >= _BLOCK:
            self._finish_block()

    def finish(self) -> int:
        """Write what is left, sync and close; gives the file's size."""
        with self.file:
            self._finish_block()
            meta = self._write(_BlockOfEntries())
            index = self._write(self._index)
            footer = (_handle(meta) + _handle(index)).ljust(FOOTER - 8, b"\0") + struct.pack("<Q", MAGIC)
            self.file.write(footer)
            _sync(self.file)
        return self.size + len(footer)

    def _finish_block(self) -> None:
        if self._block.size:
            self._index.add(self.last_key, _handle(self._write(self._block)))
            self._block = _BlockOfEntries()

    def _write(self, block: _BlockOfEntries) -> Block:
        content = block.content() + b"\0"
        place = Block(self.size, len(content) - 1)
        self.file.write(content + struct.pack("<I", masked(content)))
        self.size += len(content) + 4
        return place


class _BlockOfEntries:
    """Entries that share the beginnings of their keys."""

    def __init__(self, restart_every: int = _RESTART_EVERY) -> None:
        #: Bytes of the entries.
        self.size = 0
        self._parts: list[bytes] = []
        self._restarts: list[int] = [0]
        self._restart_every = restart_every
        self._count = 0
        self._last_key = b""

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count % self._restart_every:
            shared = _shared(self._last_key, key)
        elif self._count:
            self._restarts.append(self.size)
        head = write_varint(shared) + write_varint(len(key) - shared) + write_varint(len(value)) + key[shared:]
        self._parts += [head, value]
        self.size += len(head) + len(value)
        self._count += 1
        self._last_key = key

    def content(self) -> bytes:
        return b"".join(self._parts) + struct.pack(f"<{len(self._restarts) + 1}I", *self._restarts, len(self._restarts))


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    ends = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(ends, min(len(one), len(other)))


def _handle(block: Block) -> bytes:
    return write_varint(block.offset) + write_varint(block.size)


def _text(data: bytes) -> bytes:
    return write_varint(len(data)) + data


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
