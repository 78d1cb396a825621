"""Sigmoid: squashes to (0, 1)."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Sigmoid"]


@register_layer("Sigmoid")
class Sigmoid(Layer):
    """``y = 1 / (1 + exp(-x)) = tanh(x / 2) / 2 + 1/2``, any shape, in place allowed (Caffe's sigmoid_layer.cpp)."""

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        # By tanh nothing overflows, however large x is.
        y = top[0].data
        self.xp.multiply(bottom[0].data, 0.5, out=y)
        self.xp.tanh(y, out=y)
        y *= 0.5
        y += 0.5

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        y, slope = top[0].data, self.backend.scratch(bottom[0].shape)
        self.xp.subtract(1, y, out=slope)
        slope *= y
        self.xp.multiply(top[0].diff, slope, out=bottom[0].diff)
