"""LRN: responses divided by those around them."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._images import check_images
from caffepy.proto import caffe_pb2

__all__ = ["LRN"]


@register_layer("LRN")
class LRN(Layer):
    """``y = x / (k + alpha / n * sum of x^2)^beta`` over n values around x; x, y (N, C, H, W).

    ACROSS_CHANNELS: the n = local_size channels around, at the same place. WITHIN_CHANNEL: the local_size x local_size
    places around in the same channel, n = local_size^2, zeros beyond the border, and 1 for k. Not in place. Sources:
    Krizhevsky et al., NIPS 2012, section 3.3; Caffe's lrn_layer.cpp.

    Raises:
        LayerError: an even local_size, or a bottom without 4 axes.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.lrn_param
        size = param.local_size
        if size % 2 == 0:
            raise self.error(f"LRN only supports odd values for local_size; got {size}.")
        if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
            self.lrn = self.ops.LRN(self.backend, size, param.alpha, param.beta, param.k)
        else:
            self.lrn = self.ops.LRNWithin(self.backend, size, param.alpha, param.beta)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        check_images(self, bottom[0])
        top[0].reshape(*bottom[0].shape)
        self.lrn.plan(bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.lrn.forward(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            self.lrn.backward(bottom[0].data, top[0].diff, bottom[0].diff)
