"""Compiled kernels on disk, made anew wherever any source of this folder has changed.

numba stamps what it keeps of a kernel with the file that the kernel is in. The machine code has within it that of the
kernels called, which may be of other files; so all files of the folder belong to the stamp here.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache

__all__ = ["KernelCache"]


def _digest_of_sources() -> bytes:
    """Empty where there are no files, as in a frozen program: of that numba stamps the whole executable."""
    digest = hashlib.sha256()
    try:
        files = {file.name: file for file in resources.files(__package__).iterdir()}
        # An editor's files, such as a link to nowhere that locks another, are no modules.
        for name in sorted(name for name in files if name.endswith(".py") and name[:-3].isidentifier()):
            source = files[name].read_bytes()
            digest.update(f"{name} {len(source)}\n".encode())
            digest.update(source)
    except OSError:
        return b""
    return digest.digest()


_SOURCES = _digest_of_sources()


class _Locator:
    """numba's locator of a kernel, but for the stamp."""

    def __init__(self, locator: Any) -> None:
        self._locator = locator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._locator, name)

    def get_source_stamp(self) -> tuple[Any, bytes]:
        return self._locator.get_source_stamp(), _SOURCES


class _Implementation(CompileResultCacheImpl):
    """The digest is in the index, by the stamp, and with the code.

    Index and code are two files. A process that began before a change and one that began after may write them at the
    same moment, and leave the index of one with the code of the other.
    """

    @property
    def locator(self) -> _Locator:
        return _Locator(super().locator)

    def reduce(self, data: Any) -> tuple[bytes, Any]:
        return _SOURCES, super().reduce(data)  # type: ignore[no-untyped-call]

    def rebuild(self, target_context: Any, reduced_data: tuple[bytes, Any]) -> Any:
        sources, reduced = reduced_data
        if sources != _SOURCES:
            return None
        return super().rebuild(target_context, reduced)  # type: ignore[no-untyped-call]


class KernelCache(FunctionCache):
    """numba's cache of one kernel: its folders, its file names, its NUMBA_CACHE_DIR.

    Raises:
        RuntimeError: no folder can be written, or the kernel has no source.
    """

    _impl_class = _Implementation
