"""Dropout: in training, units are set to zero at random."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["Dropout"]


@register_layer("Dropout")
class Dropout(Layer):
    """TRAIN: ``y = x * kept / (1 - dropout_ratio)``, kept with probability ``1 - dropout_ratio``; TEST: ``y = x``.

    Any shape, in place allowed. The units to drop are a function of the seed, the layer's name and the pass, not of
    threads or devices. Source: Caffe's dropout_layer.cpp; Srivastava et al., JMLR 15 (2014).

    Raises:
        LayerError: a dropout_ratio that is not in [0, 1).
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        ratio = self.param.dropout_param.dropout_ratio
        if not 0 <= ratio < 1:
            check = "threshold_ > 0." if ratio < 0 else "threshold_ < 1."
            raise self.error(
                f"dropout_ratio is the share of units to drop, at least 0 and below 1 (Check failed: {check}); "
                f"got {ratio:g}. Kept units are scaled by 1 / (1 - dropout_ratio)."
            )
        self.train = self.phase == caffe_pb2.TRAIN
        key = self.stream("dropout").key
        self.dropout = self.ops.Dropout(self.backend, ratio, key, self.context.counter)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)
        self.dropout.plan(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if self.train:
            self.dropout.forward(bottom[0].data, top[0].data)
        else:
            self._copy(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if not propagate_down[0]:
            return
        if self.train:
            self.dropout.backward(top[0].diff, bottom[0].diff)
        else:
            self._copy(top[0].diff, bottom[0].diff)

    def _copy(self, source: Array, target: Array) -> None:
        if source is not target:
            target[...] = source
