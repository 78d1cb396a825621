"""SoftmaxWithLoss: the loss of classification."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import Normalizer, check_batch
from caffepy.layers._scores import scores_shape
from caffepy.proto import caffe_pb2

__all__ = ["SoftmaxWithLoss"]

_MODE = caffe_pb2.LossParameter


@register_layer("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    """``loss = sum of -log softmax(x)[label] / normalizer`` (Caffe's softmax_loss_layer.cpp).

    Bottoms: scores, (N, C, H, W) or any shape with classes along softmax_param.axis; labels, one for each position,
    whole numbers 0..C-1 or loss_param.ignore_label. Tops: the loss, (); optionally the probabilities, which carry no
    gradient.

    The normalizer, at least 1, is by loss_param.normalization: FULL, the number of labels; VALID (unless given), of
    those not ignored; BATCH_SIZE, N; NONE, 1. Where that is missing the older ``normalize`` counts: true is VALID,
    false BATCH_SIZE.

    Raises:
        LayerError: labels that do not match the scores in number, or one that is no class (in forward).
    """

    bottoms = (2, 2)
    tops = (1, 2)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({1})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.loss_param
        mode = param.normalization
        if param.HasField("normalize") and not param.HasField("normalization"):
            mode = _MODE.VALID if param.normalize else _MODE.BATCH_SIZE
        self.normalizer = Normalizer(self, mode)
        self.given_axis = self.param.softmax_param.axis
        self.softmax = self.ops.Softmax(self.backend)
        ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.softmax_loss = self.ops.SoftmaxLoss(self.backend, ignore_label)
        self.prob = Blob(self.backend)
        # Sum of losses and number of labels, and the gradient's scale. On the device: nothing waits for them.
        self.sums = self.backend.zeros((2,))
        self.scale = self.backend.zeros((1,))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom
        check_batch(self, scores, labels)
        shape = scores_shape(self, scores, labels, self.given_axis, "softmax_param.axis")
        self.softmax.plan(shape)
        self.softmax_loss.plan(shape)
        self.prob.reshape(*scores.shape)
        self.normalizer.reshape(shape[0], shape[2])
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*scores.shape)
            top[1].share_data(self.prob)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.softmax.forward(bottom[0].data, self.prob.data)
        self.softmax_loss.forward(self.prob.data, bottom[1].data, self.sums)
        self.backend.defer(self._check)
        self.normalizer.count(self.sums[1:])
        self.xp.divide(self.sums[:1], self.normalizer.value, out=top[0].data.reshape(1))

    def _check(self) -> None:
        with self.named():
            self.softmax_loss.check()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[1]:
            raise self.error("SoftmaxWithLoss Layer cannot backpropagate to label inputs.")
        if propagate_down[0]:
            self.xp.divide(top[0].diff.reshape(1), self.normalizer.value, out=self.scale)
            self.softmax_loss.backward(self.prob.data, bottom[1].data, self.scale, bottom[0].diff)
