"""ELU: exponential linear units."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["ELU"]


@register_layer("ELU")
class ELU(Layer):
    """``y = x`` where x > 0, else ``alpha * (exp(x) - 1)``; any shape (Caffe's elu_layer.cpp).

    In place allowed; backward too, unless alpha is negative: only then do x and y differ in sign. Clevert,
    Unterthiner, Hochreiter, "Fast and accurate deep network learning by exponential linear units (ELUs)", ICLR 2016.

    Raises:
        LayerError: backward in place with a negative alpha.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.alpha = self.param.elu_param.alpha
        self.positive = self.backend.empty((0,), bool)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)
        if self.positive.shape != bottom[0].shape:
            self.positive = self.backend.empty(bottom[0].shape, bool)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, y = bottom[0].data, top[0].data
        below = self.backend.scratch(x.shape)
        self.xp.minimum(x, 0, out=below)
        self.xp.expm1(below, out=below)
        below *= self.alpha
        self.xp.maximum(x, 0, out=y)
        y += below

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if bottom[0] is top[0] and self.alpha < 0:
            raise self.error(
                f"cannot compute a gradient in place with alpha {self.alpha:g}: it needs the sign of the bottom, which "
                "the top has overwritten. Give the top a name of its own."
            )
        slope = self.backend.scratch(bottom[0].shape)
        self.xp.add(top[0].data, self.alpha, out=slope)
        self.xp.greater(bottom[0].data, 0, out=self.positive)
        self.xp.copyto(slope, 1, where=self.positive)
        self.xp.multiply(top[0].diff, slope, out=bottom[0].diff)
