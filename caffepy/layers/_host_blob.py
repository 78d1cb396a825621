"""Blobs as layers written for pycaffe know them: NumPy arrays, whatever the device."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from caffepy.blob import Blob
from caffepy.layer import Layer

__all__ = ["HOST", "BlobVec", "HostBlob", "mirror", "write_back"]

#: The array module of the host.
HOST: Any = np


class HostBlob:
    """A blob whose ``data`` and ``diff`` are copied to the host when they are read; `write_back` copies them back.

    As in Caffe, an array that was read before is brought up to date by reading again, and is the same one while the
    shape is.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._copies: dict[str, np.ndarray[Any, Any]] = {}
        #: Those that are up to date.
        self._current: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blob, name)

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The values."""
        return self._copy("data")

    @property
    def diff(self) -> np.ndarray[Any, Any]:
        """The gradients."""
        return self._copy("diff")

    def reshape(self, *shape: int) -> None:
        """Change the shape; what was read before is written back first."""
        if tuple(shape) != self._blob.shape:
            self.write_back()
            self._blob.reshape(*shape)

    def _copy(self, what: str) -> np.ndarray[Any, Any]:
        if what not in self._current:
            values = self._blob.backend.to_host(getattr(self._blob, what))
            if what in self._copies and self._copies[what].shape == values.shape:
                self._copies[what][...] = values
            else:
                self._copies[what] = np.array(values)
            self._current.add(what)
        return self._copies[what]

    def write_back(self) -> None:
        """Copy what was read to the device; the next reading copies from there again."""
        for what in self._current:
            getattr(self._blob, what)[...] = self._blob.backend.asarray(self._copies[what])
        self._current.clear()


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
