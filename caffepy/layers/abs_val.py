"""AbsVal: absolute values."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["AbsVal"]


@register_layer("AbsVal")
class AbsVal(Layer):
    """``y = |x|``, any shape, not in place; the gradient at 0 is 0 (Caffe's absval_layer.cpp)."""

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.xp.absolute(bottom[0].data, out=top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            dx = bottom[0].diff
            self.xp.sign(bottom[0].data, out=dx)
            dx *= top[0].diff
