"""Exp: base ^ (shift + scale * x)."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Exp"]


@register_layer("Exp")
class Exp(Layer):
    """``y = base ^ (shift + scale * x)``, base e where exp_param.base is -1; any shape, in place allowed.

    Source: Caffe's exp_layer.cpp.

    Raises:
        LayerError: a base that is not positive, or infinite.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.exp_param
        log_base = 1.0
        if param.base != -1:
            if not param.base > 0:
                raise self.error(f"base must be strictly positive, or -1 for e; got {param.base:g}.")
            log_base = math.log(param.base)
        if math.isinf(log_base):
            raise self.error(f"Inf result: log(base) = log({param.base:g}) = {log_base:g}. Give a finite base.")
        self.scale, self.shift = log_base * param.scale, log_base * param.shift

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data
        self.xp.multiply(bottom[0].data, self.scale, out=y)
        if self.shift != 0:
            y += self.shift
        self.xp.exp(y, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            dx = bottom[0].diff
            self.xp.multiply(top[0].diff, top[0].data, out=dx)
            dx *= self.scale
