"""New databases as users name them: a path and a kind in, a writer of records out."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol

from caffepy.errors import DataError, did_you_mean

__all__ = ["Writer", "new_database"]


class Writer(Protocol):
    """Takes the records of a new database, in the order of their keys, in a ``with`` block."""

    def __enter__(self) -> Writer: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def put(self, key: bytes, value: bytes) -> None: ...


def new_database(path: str | os.PathLike[str], backend: str = "LMDB") -> Writer:
    """A writer of the database ``path``, an ``"LMDB"`` or a ``"LEVELDB"``.

    Raises:
        DataError: another kind.
    """
    if backend == "LEVELDB":
        from caffepy.data.leveldb_writer import LeveldbWriter

        return LeveldbWriter(path)
    if backend != "LMDB":
        near = did_you_mean(backend, ["LMDB", "LEVELDB"])
        raise DataError(f"database backend '{backend}' is unknown; expected LMDB or LEVELDB.{near}")
    from caffepy.data.lmdb_writer import LmdbWriter

    return LmdbWriter(path)
