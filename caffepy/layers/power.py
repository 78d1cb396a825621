"""Power: (shift + scale * x) ^ power."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Power"]


@register_layer("Power")
class Power(Layer):
    """``y = (shift + scale * x) ^ power``, any shape (Caffe's power_layer.cpp).

    In place allowed; backward too, unless it needs x again: power is neither 0 nor 1, and scale is not 0.

    Raises:
        LayerError: backward in place with such a power.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.power_param
        self.power, self.scale, self.shift = param.power, param.scale, param.shift
        #: Of the inner function's power, in the gradient.
        self.diff_scale = self.power * self.scale

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, y = bottom[0].data, top[0].data
        if self.diff_scale == 0:
            # A constant, which NaN in x does not change.
            y.fill(1 if self.power == 0 else self.shift)
        else:
            self.xp.multiply(x, self.scale, out=y)
            y += self.shift
        if self.power not in (0, 1):
            self.xp.power(y, self.power, out=y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].diff
        if self.diff_scale == 0:
            dx.fill(0)
        elif self.power == 1:
            self.xp.multiply(dy, self.diff_scale, out=dx)
        elif bottom[0] is top[0]:
            raise self.error(
                f"cannot compute a gradient in place with power {self.power:g}: it needs the bottom, which the top has "
                "overwritten. Give the top a name of its own."
            )
        else:
            self.xp.multiply(bottom[0].data, self.scale, out=dx)
            dx += self.shift
            if self.power != 2:
                self.xp.power(dx, self.power - 1, out=dx)
            dx *= self.diff_scale
            dx *= dy
