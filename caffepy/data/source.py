"""Databases as users name them: a path and a ``backend`` in, numbered records or one clear error out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path

from caffepy.errors import DataError, did_you_mean, reason

__all__ = ["Source", "key_text", "open_source"]

_LMDB_MAGIC = b"\xde\xc0\xef\xbe"
_MAGIC_OFFSET = 16
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file: read it with a layer of type HDF5Data, or convert it to an LMDB"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the data itself: run 'git lfs pull' to fetch the file it names",
    ),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"<", "a web page or XML, probably the answer of a failed download"),
)


class Source(ABC):
    """The records of one database, by ordinal. All methods but `close` may be called from several threads at once."""

    #: As the user wrote it, for messages.
    path: str

    @abstractmethod
    def __len__(self) -> int:
        """How many records there are; at least one."""

    @abstractmethod
    def read(self, ordinal: int) -> tuple[bytes, bytes]:
        """Key and value of record ``ordinal``, ``0 <= ordinal < len(source)``, in the database's own order.

        Raises:
            DataError: the record cannot be read: a damaged or closed database.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the database go. Closing twice is harmless; reading afterwards is an error."""


def open_source(path: str | os.PathLike[str], backend: str = "LMDB", *, readahead: bool = True) -> Source:
    """Open the database at ``path`` for reading.

    Args:
        path: the database's folder, relative to the working directory; an LMDB may also be named by its ``data.mdb``, a
            LevelDB by its ``CURRENT``.
        backend: ``"LMDB"`` or ``"LEVELDB"``, the names of ``data_param.backend``.
        readahead: let the system read ahead: good for records in order, bad for shuffled ones that memory cannot hold.

    Raises:
        DataError: nothing there, something else there, an empty or a damaged database.
    """
    text = os.fspath(path)
    if backend not in ("LMDB", "LEVELDB"):
        near = did_you_mean(backend, ["LMDB", "LEVELDB"])
        raise DataError(f"database backend '{backend}' is unknown; expected LMDB or LEVELDB.{near}")
    where = Path(text)
    # Unlike Path.exists, this has False for a name that no file can have.
    if not text or not os.path.exists(text):
        raise DataError(_missing(text))
    kind = _kind(where)
    if kind == "LEVELDB":
        if backend == "LMDB":
            raise DataError(
                f"database '{text}' is a LevelDB, not an LMDB (it has CURRENT and MANIFEST files). "
                "Write 'backend: LEVELDB' in the layer's data_param; of a command, '--backend leveldb'."
            )
        from caffepy.data.leveldb_source import LeveldbSource

        return LeveldbSource(text, where if where.is_dir() else where.parent)
    if backend == "LEVELDB":
        if kind == "LMDB":
            raise DataError(
                f"database '{text}' is an LMDB, not a LevelDB. Write 'backend: LMDB' in the layer's data_param, as "
                "Caffe takes LEVELDB where none is given; of a command, '--backend lmdb'."
            )
        raise DataError(f"'{text}' is no LevelDB: {_contents(where)}")
    file = where / "data.mdb" if where.is_dir() else where
    if kind != "LMDB":
        raise DataError(f"cannot open the LMDB '{text}': {_contents(where)}")
    # Importing caffepy.data must not need lmdb until a database is opened.
    from caffepy.data.lmdb_source import LmdbSource

    return LmdbSource(text, file, readahead=readahead)


def key_text(key: bytes) -> str:
    """A record's key as messages show it."""
    return key.decode("utf-8", "backslashreplace")


def _kind(where: Path) -> str:
    """LMDB, LEVELDB or the empty string, by what lies at ``where``."""
    if where.is_dir():
        if (where / "data.mdb").is_file():
            return "LMDB" if _head(where / "data.mdb")[_MAGIC_OFFSET : _MAGIC_OFFSET + 4] == _LMDB_MAGIC else ""
        if (where / "CURRENT").exists() or any(where.glob("MANIFEST-*")):
            return "LEVELDB"
        return ""
    if where.name == "CURRENT" or where.name.startswith("MANIFEST-"):
        return "LEVELDB"
    return "LMDB" if _head(where)[_MAGIC_OFFSET : _MAGIC_OFFSET + 4] == _LMDB_MAGIC else ""


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(64)
    except OSError as error:
        raise DataError(f"cannot read '{file}': {reason(error)}. Check the file's permissions.") from error


def _missing(text: str) -> str:
    absolute = Path(text).absolute()
    parent = absolute.parent
    if not text:
        return "the database's path is empty: set 'source' in data_param. Check failed: mdb_status == 0 (2 vs. 0)"
    if not os.path.isdir(parent):
        known = parent
        while not os.path.isdir(known):
            known = known.parent
        beside = f" Of that path only '{known}' exists."
    else:
        names = sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
        beside = did_you_mean(absolute.name, names)
        if not beside and names:
            beside = f" Folders in '{parent}': {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
    return (
        f"there is no database '{text}': looked for '{absolute}' (working directory '{os.getcwd()}').{beside} "
        "Caffe's words: Check failed: mdb_status == 0 (2 vs. 0) No such file or directory"
    )


def _contents(where: Path) -> str:
    """What lies there instead of a database."""
    if where.is_dir():
        file = where / "data.mdb"
        if file.is_file():
            return f"its data.mdb is {_foreign(_head(file))}"
        names = sorted(entry.name for entry in where.iterdir())
        inner = [name for name in names if (where / name / "data.mdb").is_file()]
        if inner:
            return f"the folder holds no data.mdb, but its folder '{inner[0]}' does. Did you mean '{where / inner[0]}'?"
        listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        return f"the folder holds no data.mdb ({f'it holds: {listed}' if names else 'it is empty'})."
    return f"it is {_foreign(_head(where))}"


def _foreign(head: bytes) -> str:
    if not head:
        return "an empty file: the conversion that made it was interrupted. Run it again."
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return f"{name}."
    if head[_MAGIC_OFFSET : _MAGIC_OFFSET + 4] == _LMDB_MAGIC[::-1]:
        return "an LMDB of a machine with the other byte order: convert it where it was made."
    return "not an LMDB file (MDB_INVALID): damaged, or another kind of file. Run the conversion again."
