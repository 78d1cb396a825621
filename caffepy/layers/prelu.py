"""PReLU: rectified linear units with learned slopes."""

from __future__ import annotations

import math

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["PReLU"]


@register_layer("PReLU")
class PReLU(Layer):
    """``y = max(x, 0) + w[c] * min(x, 0)``; x, y (N, C, ...), in place allowed (Caffe's prelu_layer.cpp).

    Learns w (C,), or () with channel_shared, filled with 0.25 unless prelu_param.filler says otherwise. He, Zhang, Ren,
    Sun, "Delving deep into rectifiers", ICCV 2015.

    Raises:
        LayerError: fewer than two axes, or channels whose number has changed.
    """

    bottoms = (1, 1)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.prelu_param
        self.shared = param.channel_shared
        self._check_axes(bottom[0])
        filler = param.filler
        if not param.HasField("filler"):
            filler = caffe_pb2.FillerParameter(type="constant", value=0.25)
        self.add_blob(() if self.shared else (bottom[0].shape[1],), filler)
        self.prelu = self.ops.PReLU(self.backend, self.shared)
        #: In place, what the top has overwritten.
        self.kept = self.backend.empty((0,))

    def _check_axes(self, bottom: Blob) -> None:
        if len(bottom.shape) < 2:
            raise self.error(f"Number of axes of bottom blob must be >=2; got shape {bottom.shape_string}.")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._check_axes(bottom[0])
        shape = bottom[0].shape
        if not self.shared and shape[1] != self.blobs[0].count:
            raise self.error(
                f"Negative slope size is inconsistent with prototxt config: there are {self.blobs[0].count} slopes, "
                f"the bottom {bottom[0].shape_string} has {shape[1]} channels."
            )
        top[0].reshape(*shape)
        self.prelu.plan((shape[0], shape[1], math.prod(shape[2:])))
        if top[0] is bottom[0] and self.kept.shape != shape:
            self.kept = self.backend.empty(shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if top[0] is bottom[0]:
            self.kept[...] = bottom[0].data
        self.prelu.forward(bottom[0].data, self.blobs[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        x: Array = self.kept if top[0] is bottom[0] else bottom[0].data
        # In place dx replaces dy, which the slopes need first.
        if self.param_propagate_down[0]:
            self.prelu.backward_filter(x, top[0].diff, self.blobs[0].diff)
        if propagate_down[0]:
            self.prelu.backward_data(x, top[0].diff, self.blobs[0].data, bottom[0].diff)
