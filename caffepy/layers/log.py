"""Log: the logarithm of shift + scale * x."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Log"]


@register_layer("Log")
class Log(Layer):
    """``y = log(shift + scale * x) / log(base)``, base e where log_param.base is -1; any shape (Caffe's log_layer.cpp).

    -inf at 0 and NaN below. In place allowed forward only.

    Raises:
        LayerError: a base that is not positive, infinite or 1; backward in place.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.log_param
        self.scale, self.shift = param.scale, param.shift
        log_base = 1.0
        if param.base != -1:
            if not param.base > 0:
                raise self.error(f"base must be strictly positive, or -1 for e; got {param.base:g}.")
            log_base = math.log(param.base)
        if math.isinf(log_base):
            raise self.error(f"Inf result: log(base) = log({param.base:g}) = {log_base:g}. Give a finite base.")
        if log_base == 0:
            raise self.error("Inf result: 1/log(base) = 1/log(1) = inf. Give a base other than 1.")
        self.base_scale = 1 / log_base

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data
        self.xp.multiply(bottom[0].data, self.scale, out=y)
        if self.shift != 0:
            y += self.shift
        self.xp.log(y, out=y)
        if self.base_scale != 1:
            y *= self.base_scale

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if bottom[0] is top[0]:
            raise self.error(
                "cannot compute a gradient in place: it needs the bottom, which the top has overwritten. Give the top "
                "a name of its own."
            )
        dx = bottom[0].diff
        self.xp.multiply(bottom[0].data, self.scale, out=dx)
        if self.shift != 0:
            dx += self.shift
        self.xp.divide(self.scale * self.base_scale, dx, out=dx)
        dx *= top[0].diff
