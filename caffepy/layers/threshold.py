"""Threshold: which values are large."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Threshold"]


@register_layer("Threshold")
class Threshold(Layer):
    """``y = 1`` where ``x > threshold``, else 0; any shape, in place allowed, no gradient.

    Source: Caffe's threshold_layer.cpp.

    Raises:
        LayerError: backward.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    no_gradient = frozenset({0})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.threshold = self.param.threshold_param.threshold

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.xp.greater(bottom[0].data, self.threshold, out=top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            raise self.error(
                "Not Implemented Yet: Threshold Layer has no gradient. Set propagate_down: false, or learn nothing "
                "below it."
            )
