"""A net's blobs as NumPy arrays, whatever device it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.layers._host_blob import HostBlob, mirror
from caffepy.net import Net

__all__ = ["HostLayer", "HostNet"]


class HostNet:
    """The mirrors of a net's blobs, one for each; on the CPU blobs and layers stand for themselves."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._known: dict[int, Blob] = {}

    def blob(self, blob: Blob) -> Blob:
        """The blob, or its mirror."""
        return self._known.setdefault(id(blob), mirror(blob))

    def layer(self, layer: Layer) -> Layer | HostLayer:
        """The layer, with mirrors for its learnable blobs."""
        mirrors = [self.blob(blob) for blob in layer.blobs]
        return (
            layer
            if all(one is blob for one, blob in zip(mirrors, layer.blobs, strict=True))
            else HostLayer(layer, mirrors)
        )

    def write_back(self) -> None:
        """Copy what was read to the device, where the next pass takes it from."""
        for blob in self._known.values():
            if isinstance(blob, HostBlob):
                blob.write_back()

    def call(self, run: Callable[[int], object]) -> Callable[[int], None]:
        """``run`` as the net can call it in a pass: what it writes into blobs counts."""

        def called(layer: int) -> None:
            run(layer)
            self.write_back()

        return called


class HostLayer:
    """A layer whose learnable ``blobs`` are mirrors."""

    def __init__(self, layer: Layer, blobs: list[Blob]) -> None:
        self._layer = layer
        self.blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)
