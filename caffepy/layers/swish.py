"""Swish: x times its sigmoid."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Swish"]


@register_layer("Swish")
class Swish(Layer):
    """``y = x * sigmoid(beta * x)``, any shape, in place allowed (Caffe's swish_layer.cpp).

    With ``s = sigmoid(beta * x)``, which is kept, ``dx = dy * (beta * y + s * (1 - beta * y))``. Ramachandran, Zoph,
    Le, "Searching for activation functions", 2017.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.beta = self.param.swish_param.beta
        self.sigmoid = self.backend.empty((0,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        if self.sigmoid.shape != bottom[0].shape:
            self.sigmoid = self.backend.empty(bottom[0].shape)
        self.backend.scratch(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        # By tanh nothing overflows, however large x is.
        self.xp.multiply(bottom[0].data, 0.5 * self.beta, out=self.sigmoid)
        self.xp.tanh(self.sigmoid, out=self.sigmoid)
        self.sigmoid *= 0.5
        self.sigmoid += 0.5
        self.xp.multiply(bottom[0].data, self.sigmoid, out=top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        # beta * y * (1 - s) + s: the same sum.
        slope = self.backend.scratch(bottom[0].shape)
        self.xp.subtract(1, self.sigmoid, out=slope)
        slope *= top[0].data
        slope *= self.beta
        slope += self.sigmoid
        self.xp.multiply(top[0].diff, slope, out=bottom[0].diff)
