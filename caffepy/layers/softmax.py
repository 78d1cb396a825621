"""Softmax: scores to probabilities along one axis."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Softmax"]


@register_layer("Softmax")
class Softmax(Layer):
    """``y[c] = exp(x[c]) / sum_k exp(x[k])`` along softmax_param.axis (1 unless given), any shape, in place allowed.

    Source: Caffe's softmax_layer.cpp.

    Raises:
        LayerError: no such axis.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.given_axis = self.param.softmax_param.axis
        self.softmax = self.ops.Softmax(self.backend)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        axis = self.axis(bottom[0], self.given_axis, "softmax_param.axis")
        top[0].reshape(*shape)
        self.softmax.plan((math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.softmax.forward(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            self.softmax.backward(top[0].data, top[0].diff, bottom[0].diff)
