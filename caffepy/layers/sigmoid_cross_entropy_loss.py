"""SigmoidCrossEntropyLoss: the loss of many yes-or-no answers at once."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import Normalizer, check_batch
from caffepy.proto import caffe_pb2

__all__ = ["SigmoidCrossEntropyLoss"]

_MODE = caffe_pb2.LossParameter


@register_layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Layer):
    """``loss = sum of -t log p - (1 - t) log(1 - p) / normalizer``, p = 1 / (1 + exp(-x)).

    Bottoms: scores x (N, ...); targets t, as many, from 0 to 1, or loss_param.ignore_label (compared after the target's
    fraction is dropped). Top: the loss, (). The normalizer, at least 1, is by loss_param.normalization: FULL, the
    number of targets; VALID, of those not ignored; BATCH_SIZE (unless given), N; NONE, 1. Where that is missing the
    older ``normalize`` counts: true is VALID, false BATCH_SIZE. Source: Caffe's sigmoid_cross_entropy_loss_layer.cpp.

    Raises:
        LayerError: bottoms that differ in size, or backward to the targets.
    """

    bottoms = (2, 2)
    tops = (1, 1)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.loss_param
        mode = _MODE.BATCH_SIZE
        if param.HasField("normalization"):
            mode = param.normalization
        elif param.HasField("normalize") and param.normalize:
            mode = _MODE.VALID
        self.normalizer = Normalizer(self, mode)
        ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.cross_entropy = self.ops.SigmoidCrossEntropyLoss(self.backend, ignore_label)
        # Sum of losses and number of targets, and the gradient's scale. They stay on the device.
        self.sums = self.backend.zeros((2,))
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        outer = check_batch(self, bottom[0], bottom[1])
        if bottom[0].count != bottom[1].count:
            raise self.error(
                "SIGMOID_CROSS_ENTROPY_LOSS layer inputs must have the same count; "
                f"got {bottom[0].shape_string} and {bottom[1].shape_string}."
            )
        inner = math.prod(bottom[0].shape[1:])
        self.cross_entropy.plan((outer, inner))
        self.normalizer.reshape(outer, inner)
        top[0].reshape()

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.cross_entropy.forward(bottom[0].data, bottom[1].data, self.sums)
        self.normalizer.count(self.sums[1:])
        self.xp.divide(self.sums[:1], self.normalizer.value, out=top[0].data.reshape(1))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("SigmoidCrossEntropyLoss Layer cannot backpropagate to label inputs.")
        if propagate_down[0]:
            self.xp.divide(top[0].diff.reshape(1), self.normalizer.value, out=self.scale)
            self.cross_entropy.backward(bottom[0].data, bottom[1].data, self.scale, bottom[0].diff)
