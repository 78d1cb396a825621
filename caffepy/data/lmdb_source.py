"""An LMDB read by ordinal: keys are indexed once, values are read where the file is mapped."""

from __future__ import annotations

import os
import threading
from itertools import accumulate
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
from numpy.typing import NDArray

from caffepy.data.lmdb_pages import check_pages
from caffepy.data.source import Source, key_text
from caffepy.errors import DataError

__all__ = ["LmdbSource"]

# py-lmdb refuses to open a file twice in one process, but a train and a test net may well read the same database.
_environments: dict[tuple[int, int], tuple[Any, int]] = {}
_environments_lock = threading.Lock()


class LmdbSource(Source):
    """The records of an LMDB, in the order of their keys, which is Caffe's order.

    The database is opened read-only and without a lock file, so that it may lie on a read-only or a network disk; it
    must not be written meanwhile. Its pages are checked first, see `caffepy.data.lmdb_pages`. Keys take their own
    length plus eight bytes each in memory.

    Args:
        path: as the user wrote it, for messages.
        file: the ``data.mdb``.
        readahead: see `caffepy.data.source.open_source`.

    Raises:
        DataError: damaged, cut short, empty, or holding named databases only.
    """

    def __init__(self, path: str, file: Path, *, readahead: bool = True) -> None:
        self.path = path
        self._closed = False
        self._identity, self._environment = _acquire(path, file, readahead)
        try:
            self._keys, self._bounds = self._index()
            self._check_records()
        except lmdb.Error as error:
            self.close()
            raise DataError(f"the LMDB '{path}' is damaged: {error}. Run the conversion again.") from error
        except DataError:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def key(self, ordinal: int) -> bytes:
        """The key of record ``ordinal``; needs no access to the file."""
        if not 0 <= ordinal < len(self):
            raise IndexError(f"record {ordinal} of '{self.path}', which has {len(self)}")
        return self._keys[self._bounds[ordinal] : self._bounds[ordinal + 1]]

    def read(self, ordinal: int) -> tuple[bytes, bytes]:
        key = self.key(ordinal)
        if self._closed:
            raise DataError(f"the LMDB '{self.path}' was closed; record {ordinal} cannot be read.")
        try:
            with self._environment.begin() as transaction:
                value = transaction.get(key)
        except lmdb.Error as error:
            raise DataError(f"record '{key_text(key)}' of the LMDB '{self.path}' cannot be read: {error}.") from error
        if value is None:
            raise DataError(
                f"record '{key_text(key)}' vanished from the LMDB '{self.path}': is something writing to it?"
            )
        return key, value

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            _release(self._identity)

    def _index(self) -> tuple[bytes, NDArray[np.int64]]:
        """All keys joined, and where each begins; the last bound is where the last one ends."""
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            keys = list(cursor.iternext(keys=True, values=False))
        bounds = np.zeros(len(keys) + 1, np.int64)
        bounds[1:] = np.fromiter(accumulate(map(len, keys)), np.int64, len(keys))
        return b"".join(keys), bounds

    def _check_records(self) -> None:
        if not len(self):
            raise DataError(
                f"the LMDB '{self.path}' has 0 records: convert_imageset made an empty database "
                "('A total of 0 images' in its log). Check the list file and the root folder: "
                "'caffepy convert-imageset --dry-run' counts what is missing."
            )
        with self._environment.begin() as transaction:
            first = self.key(0)
            if _is_named_database(transaction, first):
                raise DataError(
                    f"the LMDB '{self.path}' holds named databases ('{key_text(first)}') and not records: "
                    "Caffe reads the unnamed one only. Write the records without a database name."
                )


def _is_named_database(transaction: Any, key: bytes) -> bool:
    # A named database is an entry whose value is its 48-byte header, which begins with zeros. No Datum does: a field
    # cannot have number 0.
    value = transaction.get(key)
    return len(value) == 48 and value[:4] == b"\0\0\0\0"


def _acquire(path: str, file: Path, readahead: bool) -> tuple[tuple[int, int], Any]:
    status = os.stat(file)
    identity = (status.st_dev, status.st_ino)
    with _environments_lock:
        environment, users = _environments.get(identity, (None, 0))
        if environment is None:
            try:
                check_pages(path, file)
                environment = lmdb.open(
                    os.fspath(file), subdir=False, readonly=True, lock=False, max_dbs=0, readahead=readahead
                )
            except (lmdb.Error, OSError) as error:
                raise DataError(f"cannot open the LMDB '{path}': {error}.") from error
        _environments[identity] = (environment, users + 1)
    return identity, environment


def _release(identity: tuple[int, int]) -> None:
    with _environments_lock:
        environment, users = _environments.pop(identity)
        if users > 1:
            _environments[identity] = (environment, users - 1)
        else:
            environment.close()
