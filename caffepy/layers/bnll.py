"""BNLL: binomial normal log likelihood, a smooth rectifier (softplus)."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["BNLL"]


@register_layer("BNLL")
class BNLL(Layer):
    """``y = log(1 + exp(x))``, any shape, in place allowed (Caffe's bnll_layer.cpp).

    The gradient, ``dx = dy / (1 + exp(-x)) = dy * (1 - exp(-y))``, is taken from y and so is right in place too, where
    Caffe reads y as if it were x.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        # max(x, 0) + log(1 + exp(-|x|)): the same, and exp does not overflow.
        x, y = bottom[0].data, top[0].data
        rest = self.backend.scratch(x.shape)
        self.xp.absolute(x, out=rest)
        self.xp.negative(rest, out=rest)
        self.xp.exp(rest, out=rest)
        self.xp.log1p(rest, out=rest)
        self.xp.maximum(x, 0, out=y)
        y += rest

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        slope = self.backend.scratch(bottom[0].shape)
        self.xp.negative(top[0].data, out=slope)
        self.xp.expm1(slope, out=slope)
        self.xp.negative(slope, out=slope)
        self.xp.multiply(top[0].diff, slope, out=bottom[0].diff)
