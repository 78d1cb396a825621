"""Blobs as scripts and layers written for pycaffe know them: NumPy arrays, whatever the device.

Like Caffe's SyncedMemory: memory of the device is copied to the host when it is read there, and copied back before the
device works on.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast
from weakref import WeakValueDictionary

import numpy as np

from caffepy.backend import Array, Backend
from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["HOST", "BlobVec", "HostBlob", "mirror", "write_back", "write_back_all"]

#: The array module of the host.
HOST: Any = np

_Host: TypeAlias = np.ndarray[Any, Any]


class _Copy:
    """Memory of a device, and a copy of it on the host."""

    def __init__(self, backend: Backend, array: Array) -> None:
        self._backend = backend
        # Held, so that its address is not another array's one day.
        self._array = array
        self._host: _Host = np.empty(array.shape, array.dtype)

    def read(self) -> _Host:
        """The copy, brought up to date unless it is what will be written back."""
        if self not in _read:
            self._host[...] = self._backend.to_host(self._array)
            _read[self] = None
        return self._host

    def write(self) -> None:
        """Copy back what was read, which may have been changed."""
        if self in _read:
            del _read[self]
            self._array[...] = self._backend.asarray(self._host)


#: Copies by address and size: blobs that share memory share its copy.
_copies: WeakValueDictionary[tuple[int, int], _Copy] = WeakValueDictionary()
#: Those that were read since the device last worked.
_read: dict[_Copy, None] = {}


def _copy_of(backend: Backend, array: Array) -> _Copy:
    flat = array.reshape(-1)
    interface = getattr(flat, "__cuda_array_interface__", None) or flat.__array_interface__
    key = (interface["data"][0], flat.size)
    copy = _copies.get(key)
    if copy is None:
        copy = _copies[key] = _Copy(backend, flat)
    return copy


def write_back_all() -> None:
    """Copy back all that was read; before a device works."""
    for copy in list(_read):
        copy.write()


class HostBlob:
    """A blob whose ``data`` and ``diff`` are copied to the host when they are read; `write_back` copies them back.

    As in Caffe, an array that was read before is brought up to date by reading again, and is the same memory while the
    blob's is.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._copies: dict[str, _Copy] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blob, name)

    @property
    def data(self) -> _Host:
        """The values."""
        return self._copy("data")

    @property
    def diff(self) -> _Host:
        """The gradients."""
        return self._copy("diff")

    def reshape(self, *shape: int) -> None:
        """Change the shape; what was read before is written back first."""
        if tuple(shape) != self._blob.shape:
            self.write_back()
            self._blob.reshape(*shape)

    def _copy(self, what: str) -> _Host:
        copy = self._copies[what] = _copy_of(self._blob.backend, getattr(self._blob, what))
        return copy.read().reshape(self._blob.shape)

    def write_back(self) -> None:
        """Copy what was read to the device; the next reading copies from there again."""
        for copy in self._copies.values():
            copy.write()


def mirror(blob: Blob) -> Blob:
    """The blob itself where its arrays are NumPy's, else a `HostBlob` of it, which is used alike."""
    return blob if blob.backend.xp is HOST else cast(Blob, HostBlob(blob))


def write_back(blobs: list[Blob]) -> None:
    """Copy back what was read of those that are mirrors."""
    for blob in blobs:
        if isinstance(blob, HostBlob):
            blob.write_back()


class BlobVec(list[Blob]):
    """pycaffe's list of learnable blobs: ``self.blobs.add_blob(3, 4)`` in a layer's setup appends one of zeros.

    ``layer`` is the one that the net knows; its ``blobs`` are those of the device.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def add_blob(self, *shape: int) -> None:
        """Append a learnable blob."""
        blob = Blob(self._layer.backend, shape)
        self._layer.take_memory(blob.unallocated, f"learnable blob {len(self)}, {blob.shape_string},")
        self.append(blob)

    def append(self, blob: Blob) -> None:
        """Append a learnable blob that is there already, as `Layer.add_blob` does."""
        self._layer.blobs.append(blob)
        super().append(mirror(blob))
