"""Silence: takes tops that nobody else reads, so that they are no outputs of the net."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Silence"]


@register_layer("Silence")
class Silence(Layer):
    """No top; ``bottom.diff = 0`` (Caffe's silence_layer.cpp)."""

    bottoms = (1, None)
    tops = (0, 0)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """No top to shape."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to compute."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.diff.fill(0)
