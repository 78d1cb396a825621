"""A net's blobs as NumPy arrays, whatever device it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.layers._host_blob import mirror, write_back_all

__all__ = ["HostLayer", "Mirrors", "then_write_back", "write_back_all"]


class Mirrors:
    """One mirror for each blob of a net; on the CPU blobs and layers stand for themselves."""

    def __init__(self) -> None:
        self._known: dict[int, Blob] = {}

    def blob(self, blob: Blob) -> Blob:
        """The blob, or its mirror."""
        return self._known.setdefault(id(blob), mirror(blob))

    def layer(self, layer: Layer) -> Layer | HostLayer:
        """The layer, with mirrors for its learnable blobs."""
        mirrors = [self.blob(blob) for blob in layer.blobs]
        return layer if mirrors == layer.blobs else HostLayer(layer, mirrors)


class HostLayer:
    """A layer whose learnable ``blobs`` are mirrors."""

    def __init__(self, layer: Layer, blobs: list[Blob]) -> None:
        self._layer = layer
        self.blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def then_write_back(run: Callable[[int], object]) -> Callable[[int], None]:
    """``run`` as a net can call it in a pass: what it writes into blobs counts."""

    def called(layer: int) -> None:
        run(layer)
        write_back_all()

    return called
