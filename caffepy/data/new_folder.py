"""A folder that appears whole or not at all."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from caffepy.errors import DataError

__all__ = ["new_folder"]

_log = logging.getLogger("caffepy")


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder beside ``path`` under a hidden name; it becomes ``path`` when the block ends without an error.

    A killed run leaves at most a folder ``.NAME.*.partial``. The files in it are synced by whoever writes them.

    Raises:
        DataError: ``path`` exists, or its folder does not. OSError: the disk refuses a folder.
    """
    target = Path(path).absolute()
    if target.exists() or target.is_symlink():
        raise DataError(
            f"cannot make the database '{path}': mkdir {path} failed, it exists. Remove it first, or give another name."
        )
    if not target.parent.is_dir():
        raise DataError(f"cannot make the database '{path}': there is no folder '{target.parent}'.")
    for left in target.parent.glob(f".{target.name}.*.partial"):
        _log.warning("'%s' is left from an interrupted conversion, or of one still running; it may be removed.", left)
    folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        folder.mkdir()
        yield folder
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for synced in (target, target.parent):
        _sync(synced)


def _sync(folder: Path) -> None:
    """Let the disk have the names in ``folder``."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
