"""Reduction: one number of all that lies behind an axis."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["Reduction"]

_OPERATION = caffe_pb2.ReductionParameter


@register_layer("Reduction")
class Reduction(Layer):
    """``y = coeff * sum of f(x)`` over all axes from reduction_param.axis on (0 unless given); y has those before it.

    f is by operation: SUM, x; ASUM, \\|x\\|; SUMSQ, x^2; MEAN, x by the number of elements. The gradient of \\|x\\| at
    0 is 0. Not in place. Source: Caffe's reduction_layer.cpp.

    Raises:
        LayerError: no such axis.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.reduction_param
        self.operation, self.given_axis = param.operation, param.axis

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        axis = self.axis(bottom[0], self.given_axis)
        self.shape = (math.prod(shape[:axis]), math.prod(shape[axis:]))
        self.coeff = self.param.reduction_param.coeff
        if self.operation == _OPERATION.MEAN:
            # Of nothing there is no mean.
            self.coeff = self.coeff / self.shape[1] if self.shape[1] else math.nan
        top[0].reshape(*shape[:axis])
        self.backend.scratch(self.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        x, y = bottom[0].data.reshape(self.shape), top[0].data.reshape(-1)
        if self.operation == _OPERATION.ASUM:
            x = self.xp.absolute(x, out=self.backend.scratch(self.shape))
        elif self.operation == _OPERATION.SUMSQ:
            x = self.xp.multiply(x, x, out=self.backend.scratch(self.shape))
        self.xp.sum(x, axis=1, out=y)
        if self.coeff != 1:
            y *= self.coeff

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        x, dx = bottom[0].data.reshape(self.shape), bottom[0].diff.reshape(self.shape)
        dy = top[0].diff.reshape(-1, 1)
        if self.operation == _OPERATION.ASUM:
            self.xp.sign(x, out=dx)
            dx *= self.coeff
            dx *= dy
        elif self.operation == _OPERATION.SUMSQ:
            self.xp.multiply(x, 2 * self.coeff, out=dx)
            dx *= dy
        else:
            # Spread first: NumPy before 2.3 buffers a product that is spread as it is computed.
            dx[...] = dy
            if self.coeff != 1:
                dx *= self.coeff
