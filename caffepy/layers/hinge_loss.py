"""HingeLoss: one class against all others, as a linear support vector machine learns."""

from __future__ import annotations

import math

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import check_batch
from caffepy.proto import caffe_pb2

__all__ = ["HingeLoss"]


@register_layer("HingeLoss")
class HingeLoss(Layer):
    """``loss = 1 / N * sum over n, c of max(0, 1 + s * x[n, c])^p``, s = -1 at the label's class and 1 elsewhere.

    Bottoms: scores (N, classes), all axes but the first taken as one; labels (N,), whole numbers from 0. Top: the loss,
    (). p is 1, or 2 with ``norm: L2``. Source: Caffe's hinge_loss_layer.cpp.

    Raises:
        LayerError: batch sizes that differ, a label that is no class (in forward), or backward to the labels.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.hinge_loss = self.ops.HingeLoss(
            self.backend, self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2
        )
        # The sum of losses, and the gradient's scale. They stay on the device.
        self.total = self.backend.zeros((1,))
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.num = check_batch(self, bottom[0], bottom[1])
        self.hinge_loss.plan((self.num, math.prod(bottom[0].shape[1:])))
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.hinge_loss.forward(bottom[0].data, self._labels(bottom), self.total)
        self.backend.defer(self._check)
        self.xp.divide(self.total, max(self.num, 1), out=top[0].data.reshape(1))

    def _check(self) -> None:
        with self.named():
            self.hinge_loss.check()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("HingeLoss Layer cannot backpropagate to label inputs.")
        if propagate_down[0]:
            self.xp.divide(top[0].diff.reshape(1), max(self.num, 1), out=self.scale)
            self.hinge_loss.backward(bottom[0].data, self._labels(bottom), self.scale, bottom[0].diff)

    def _labels(self, bottom: list[Blob]) -> Array:
        # Of labels that have more axes than one, Caffe reads the first N.
        return bottom[1].data.reshape(-1)[: self.num]
