"""Eltwise: sum, product or maximum of bottoms, element by element."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["Eltwise"]

_OPERATION = caffe_pb2.EltwiseParameter


@register_layer("Eltwise")
class Eltwise(Layer):
    """``y = sum_i coeff[i] * x_i`` (SUM), ``prod_i x_i`` (PROD) or ``max_i x_i`` (MAX) of bottoms of one shape.

    MAX takes no notice of coeff, and passes the gradient to one bottom, the first that is largest, but of the first two
    the second where they are equal. PROD's gradient multiplies the other bottoms, or, with ``stable_prod_grad: false``,
    divides the top by the bottom, which is faster for many bottoms and NaN at zeros. Source: Caffe's eltwise_layer.cpp.

    Raises:
        LayerError: coefficients in another number than bottoms, or for PROD; bottoms of different shapes.
    """

    bottoms = (2, None)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.eltwise_param
        self.operation, self.stable = param.operation, param.stable_prod_grad
        self.coeff = list(param.coeff) or [1.0] * len(bottom)
        if len(self.coeff) != len(bottom):
            raise self.error(
                "Eltwise Layer takes one coefficient per bottom blob; "
                f"got {len(self.coeff)} coeff for {len(bottom)} bottoms."
            )
        if param.coeff and self.operation == _OPERATION.PROD:
            raise self.error("Eltwise layer only takes coefficients for summation. Remove coeff.")
        self.mask, self.chosen = self.backend.empty((0,), "int32"), self.backend.empty((0,), bool)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape:
                raise self.error(
                    "bottoms must have one shape (Check failed: bottom[0]->shape() == bottom[i]->shape()): "
                    f"bottom[0]: {bottom[0].shape_string}, bottom[{i}]: {blob.shape_string}."
                )
        if self.operation == _OPERATION.MAX and self.mask.shape != bottom[0].shape:
            self.mask = self.backend.empty(bottom[0].shape, "int32")
            self.chosen = self.backend.empty(bottom[0].shape, bool)
        top[0].reshape(*bottom[0].shape)
        self.backend.scratch(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        y = top[0].data
        if self.operation == _OPERATION.MAX:
            self._maximum([blob.data for blob in bottom], y)
        elif self.operation == _OPERATION.PROD:
            self.xp.multiply(bottom[0].data, bottom[1].data, out=y)
            for blob in bottom[2:]:
                y *= blob.data
        else:
            self.xp.multiply(bottom[0].data, self.coeff[0], out=y)
            for blob, coeff in zip(bottom[1:], self.coeff[1:], strict=True):
                if coeff == 1:
                    y += blob.data
                else:
                    y += self.xp.multiply(blob.data, coeff, out=self.backend.scratch(blob.shape))

    def _maximum(self, x: list[Array], y: Array) -> None:
        self.xp.greater(x[0], x[1], out=self.chosen)
        y[...] = x[1]
        self.mask.fill(1)
        self.xp.copyto(y, x[0], where=self.chosen)
        self.xp.copyto(self.mask, 0, where=self.chosen)
        for i in range(2, len(x)):
            self.xp.greater(x[i], y, out=self.chosen)
            self.xp.copyto(y, x[i], where=self.chosen)
            self.xp.copyto(self.mask, i, where=self.chosen)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].diff
        for i, blob in enumerate(bottom):
            if not propagate_down[i]:
                continue
            dx = blob.diff
            if self.operation == _OPERATION.SUM:
                self.xp.multiply(dy, self.coeff[i], out=dx)
            elif self.operation == _OPERATION.MAX:
                self.xp.equal(self.mask, i, out=self.chosen)
                dx.fill(0)
                self.xp.copyto(dx, dy, where=self.chosen)
            elif self.stable:
                dx[...] = dy
                for j, other in enumerate(bottom):
                    if j != i:
                        dx *= other.data
            else:
                self.xp.divide(top[0].data, blob.data, out=dx)
                dx *= dy
