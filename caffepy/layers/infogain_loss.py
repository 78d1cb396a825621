"""InfogainLoss: the loss of classification where some confusions cost more than others."""

from __future__ import annotations

import math

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.errors import WeightsError
from caffepy.layer import Layer, register_layer
from caffepy.layers._loss import Normalizer, check_batch
from caffepy.layers._scores import scores_shape
from caffepy.proto import caffe_pb2
from caffepy.proto.arrays import blob_array, blob_shape
from caffepy.proto.read import read_binary

__all__ = ["InfogainLoss"]


@register_layer("InfogainLoss")
class InfogainLoss(Layer):
    """``loss = sum over labels k, classes c of -h[k, c] log(max(softmax(x)[c], 1e-20)) / normalizer``.

    Bottoms: scores x, (N, C, H, W) or any shape with classes along infogain_loss_param.axis; labels, one for each
    position, whole numbers 0..C-1 or loss_param.ignore_label; optionally h, (C, C) in any shape, which is otherwise
    read from the file infogain_loss_param.source (.binaryproto). With h the identity this is SoftmaxWithLoss. Tops: the
    loss, (); optionally the probabilities, which carry no gradient.

    The normalizer, at least 1, is by loss_param.normalization: FULL, the number of labels; VALID (unless given), of
    those not ignored; BATCH_SIZE, all positions before ``axis``; NONE, 1. Source: Caffe's infogain_loss_layer.cpp.

    Raises:
        LayerError: no h, or one of another size; the older ``normalize``; labels that do not match the scores in
            number, or one that is no class (in forward); backward to labels or h.
    """

    bottoms = (2, 3)
    tops = (1, 2)
    in_place = False
    loss = True
    auto_top_blobs = True
    no_gradient = frozenset({1, 2})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.loss_param
        if param.HasField("normalize"):
            raise self.error('normalize is deprecated. use "normalization": VALID for true, BATCH_SIZE for false.')
        self.normalizer = Normalizer(self, param.normalization)
        ignore_label = param.ignore_label if param.HasField("ignore_label") else None
        self.softmax = self.ops.Softmax(self.backend)
        self.infogain_loss = self.ops.InfogainLoss(self.backend, ignore_label)
        self.prob = Blob(self.backend)
        self.matrix = self._read() if len(bottom) < 3 else None
        # Sum of losses and number of labels, and the gradient's scale. They stay on the device.
        self.sums = self.backend.zeros((2,))
        self.scale = self.backend.zeros((1,))

    def _read(self) -> Array:
        source = self.param.infogain_loss_param.source
        if not self.param.infogain_loss_param.HasField("source"):
            raise self.error("Infogain matrix source must be specified: set infogain_loss_param.source, or a bottom.")
        proto = caffe_pb2.BlobProto()
        try:
            read_binary(source, proto)
        except WeightsError as error:
            raise self.error(f"the infogain matrix: {error}") from None
        values = blob_array(proto)
        if len(values) != math.prod(blob_shape(proto)):
            raise self.error(f"the infogain matrix in '{source}' has {len(values)} values for {blob_shape(proto)}.")
        return self.backend.asarray(values)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scores, labels = bottom[:2]
        check_batch(self, scores, labels)
        shape = scores_shape(self, scores, labels, self.param.infogain_loss_param.axis, "infogain_loss_param.axis")
        size = bottom[2].count if self.matrix is None else self.matrix.size
        if size != shape[1] ** 2:
            raise self.error(f"H must be {shape[1]}x{shape[1]}, as there are classes; it has {size} values.")
        self.softmax.plan(shape)
        self.infogain_loss.plan(shape)
        self.normalizer.reshape(shape[0], shape[2])
        self.prob.reshape(*scores.shape)
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(*scores.shape)
            top[1].share_data(self.prob)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.softmax.forward(bottom[0].data, self.prob.data)
        h = bottom[2].data if self.matrix is None else self.matrix
        self.infogain_loss.forward(self.prob.data, bottom[1].data, h, self.sums)
        self.backend.defer(self._check)
        self.normalizer.count(self.sums[1:])
        self.xp.divide(self.sums[:1], self.normalizer.value, out=top[0].data.reshape(1))

    def _check(self) -> None:
        with self.named():
            self.infogain_loss.check()

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for down, what in zip(propagate_down[1:], ("label", "infogain"), strict=False):
            if down:
                raise self.error(f"InfogainLoss Layer cannot backpropagate to {what} inputs.")
        if propagate_down[0]:
            self.xp.divide(top[0].diff.reshape(1), self.normalizer.value, out=self.scale)
            h = bottom[2].data if self.matrix is None else self.matrix
            self.infogain_loss.backward(self.prob.data, bottom[1].data, h, self.scale, bottom[0].diff)
