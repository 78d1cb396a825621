"""Writing a file so that a crash, a full disk or kill -9 leaves the old one or the new one, never a part.

The bytes go to a hidden file in the same folder, are synced to the disk, and take the name in one step (rename); then
the folder is synced. The same way for everything this library writes.

The hidden file is locked (flock) while it is written. The system lets go of a lock when its process ends, however it
ends, so what kill -9 leaves is told from what another process is writing now, and is removed by the next one that
writes the same name. (Files without a name, O_TMPFILE, would leave nothing, but a link cannot replace a file, and
neither network file systems nor macOS have them.)
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = ["atomic_path", "atomic_write", "remove_abandoned", "sync_folder"]

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.tmp", re.DOTALL)
# Characters of the name of the file to be that its temporary's begins with, for names have at most 255 bytes.
_NAMED = 60
# Where there are no locks, seconds after which an unfinished file is nobody's.
_ABANDONED = 3600


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, one_of_many: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write; it becomes ``path`` when the block ends without an error, else it is removed.

    With ``one_of_many`` what is done for the whole folder is left to whoever fills it: `remove_abandoned` before the
    first file, `sync_folder` after the last.

    Raises:
        OSError: as `open` and `write` (no such folder, disk full), and for a ``path`` that is not a file or cannot be.
    """
    with atomic_path(path, one_of_many=one_of_many) as temporary, open(temporary, "wb") as file:
        yield file


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, one_of_many: bool = False) -> Iterator[Path]:
    """The same for a library that wants a path: an empty file in the folder of ``path``, to write.

    The file is locked as h5py locks it, so give that ``locking=False``.
    """
    if "\0" in os.fspath(path):
        raise OSError(errno.EINVAL, "A file's name cannot hold the character zero", os.fspath(path))
    target = Path(os.path.realpath(path))
    _check_replaceable(target)
    if not one_of_many:
        remove_abandoned(target.parent, target.name)
    temporary, lock = _create(target)
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        if lock is not None:
            os.close(lock)
    if not one_of_many:
        sync_folder(target.parent)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Let the disk have the names in ``folder``, where the system can."""
    if os.name == "posix":
        _sync(Path(folder), os.O_RDONLY)


def remove_abandoned(folder: Path, begins: str) -> None:
    """Delete what writers that were killed have left in ``folder`` of files whose names begin with ``begins``.

    What a living process writes is left alone, and so is everything that `atomic_path` has not made. Errors of the
    disk are passed over: whoever writes next meets them.
    """
    begins = f".{begins[:_NAMED]}"
    with suppress(OSError):
        left = [name for name in os.listdir(folder) if name.startswith(begins) and _TEMPORARY.fullmatch(name)]
        for name in left:
            with suppress(OSError):
                _remove_unlocked(folder / name)


def _create(target: Path) -> tuple[Path, int | None]:
    """A new file, and the descriptor whose lock shows that it is being written."""
    while True:
        temporary = target.with_name(f".{target.name[:_NAMED]}.{secrets.token_hex(4)}.tmp")
        # Not tempfile: its files are readable by the owner only, and keep that mode under their new name.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if sys.platform == "win32":
            # An open file cannot be renamed.
            os.close(descriptor)
            return temporary, None
        # Not every file system has locks.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        # Somebody took it for abandoned before it was locked.
        os.close(descriptor)


def _remove_unlocked(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    if sys.platform == "win32":
        if time.time() - status.st_mtime > _ABANDONED:
            path.unlink()
        return
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except BlockingIOError:
        pass
    except OSError:
        if time.time() - status.st_mtime > _ABANDONED:
            path.unlink()
    finally:
        os.close(descriptor)


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
