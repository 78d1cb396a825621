"""ReLU: rectified linear units, leaky with relu_param.negative_slope."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["ReLU"]


@register_layer("ReLU")
class ReLU(Layer):
    """``y = max(x, 0) + negative_slope * min(x, 0)``, any shape, in place allowed (Caffe's relu_layer.cpp).

    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.relu = self.ops.ReLU(self.backend, self.param.relu_param.negative_slope)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.relu.plan(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.relu.forward(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            self.relu.backward(bottom[0].data, top[0].diff, bottom[0].diff)
