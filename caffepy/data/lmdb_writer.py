"""Writing an LMDB so that it appears whole or not at all."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from caffepy.data.new_folder import new_folder
from caffepy.data.source import key_text
from caffepy.errors import DataError

__all__ = ["LmdbWriter"]

# Caffe's convert_imageset commits as often.
_COMMIT_EVERY = 1000
# Records of features may be large; they wait in memory.
_COMMIT_BYTES = 1 << 26
_FIRST_MAP_SIZE = 1 << 26
# LMDB's limit on keys, as it is compiled everywhere.
_MAX_KEY = 511


class LmdbWriter:
    """A new LMDB at ``path``, made beside it under a hidden name and renamed when the block ends without an error.

    ::

        with LmdbWriter("train_lmdb") as writer:
            writer.put(b"00000000_cat.jpg", datum.SerializeToString())

    A killed run leaves at most a folder ``.train_lmdb.*.partial`` and never a part of ``train_lmdb``.

    Raises:
        DataError: ``path`` exists, its folder does not, or the disk refuses a write.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        #: Records put so far.
        self.count = 0
        self._pending: list[tuple[bytes, bytes]] = []
        self._pending_bytes = 0
        self._environment: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> LmdbWriter:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(new_folder(self.path))
                # No lock file: nobody else knows this folder, and Caffe reads without one.
                self._environment = lmdb.open(
                    os.fspath(folder), map_size=_FIRST_MAP_SIZE, lock=False, max_dbs=0, mode=0o644, sync=False
                )
            except (OSError, lmdb.Error) as error:
                raise DataError(f"cannot make the database '{self.path}': {error}.") from error
            stack.callback(self._environment.close)
            self._stack = stack.pop_all()
        return self

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record; keys are cut at 511 bytes, LMDB's limit. Records are ordered by key.

        Raises:
            DataError: the disk refuses it, or the key is empty or there already.
        """
        self._pending.append((key[:_MAX_KEY], value))
        self._pending_bytes += len(value)
        self.count += 1
        if len(self._pending) >= _COMMIT_EVERY or self._pending_bytes >= _COMMIT_BYTES:
            self._commit()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, traceback)
            return
        try:
            # The context of the folder must see an error here, or it would keep the folder.
            with self._stack:
                self._commit()
                self._environment.sync(True)
        except (OSError, lmdb.Error) as failure:
            raise DataError(f"cannot finish the database '{self.path}': {failure}.") from failure

    def _commit(self) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in self._pending:
                        if not transaction.put(key, value, overwrite=False):
                            raise DataError(f"the database '{self.path}' would have two records '{key_text(key)}'.")
                self._pending.clear()
                self._pending_bytes = 0
                return
            except lmdb.MapFullError:
                # The whole transaction is undone and done again in a larger map, as Caffe does it.
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.Error as error:
                raise DataError(f"cannot write the database '{self.path}': {error}.") from error
