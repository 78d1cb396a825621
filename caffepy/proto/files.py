"""Writing a file so that a crash, a full disk or kill -9 leaves the old one or the new one, never a part.

The bytes go to a hidden file in the same folder, are synced to the disk, and take the name in one step (rename); then
the folder is synced. The same way for everything this library writes.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_path", "atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write; it becomes ``path`` when the block ends without an error, else it is removed.

    Raises OSError as `open` and `write` do (no such folder, disk full), and for a ``path`` that is not a file.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The same for a library that wants a path: an empty file in the folder of ``path``, to write or to replace."""
    target = Path(os.path.realpath(path))
    _check_replaceable(target)
    temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.tmp")
    # Not tempfile: its files are readable by the owner only, and keep that mode under their new name.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        _sync(target.parent, os.O_RDONLY)


def _check_replaceable(target: Path) -> None:
    """Refuse a folder or a device: rename would fail at the end, or put a plain file in the device's place."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(target))


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
