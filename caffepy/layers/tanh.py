"""TanH: squashes to (-1, 1)."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["TanH"]


@register_layer("TanH")
class TanH(Layer):
    """``y = tanh(x)``, any shape, in place allowed (Caffe's tanh_layer.cpp)."""

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.xp.tanh(bottom[0].data, out=top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        y, slope = top[0].data, self.backend.scratch(bottom[0].shape)
        self.xp.multiply(y, y, out=slope)
        self.xp.subtract(1, slope, out=slope)
        self.xp.multiply(top[0].diff, slope, out=bottom[0].diff)
