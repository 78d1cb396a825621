"""Clip: values cut off at a least and a largest one."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Clip"]


@register_layer("Clip")
class Clip(Layer):
    """``y = max(min, min(x, max))``, any shape (Caffe's clip_layer.cpp); NaN stays NaN, which Caffe makes ``min``.

    The gradient passes where ``min <= x <= max``. In place allowed; as in Caffe, the gradient then passes everywhere,
    because what x was is forgotten and y lies within the bounds.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.clip_param
        self.least, self.largest = param.min, param.max

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape, bool)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data
        self.xp.minimum(bottom[0].data, self.largest, out=y)
        self.xp.maximum(y, self.least, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x, dx = bottom[0].data, bottom[0].diff
        passes = self.backend.scratch(x.shape, bool)
        self.xp.greater_equal(x, self.least, out=passes)
        self.xp.multiply(top[0].diff, passes, out=dx)
        self.xp.less_equal(x, self.largest, out=passes)
        dx *= passes
