"""Parameter: a learnable blob as a top."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.errors import NetError
from caffepy.layer import Layer, register_layer
from caffepy.proto import caffe_pb2

__all__ = ["Parameter"]


@register_layer("Parameter")
class Parameter(Layer):
    """The top is the learned blob, of parameter_param.shape, zero at first (Caffe's parameter_layer.hpp).

    Data and gradient are copied, where Caffe shares the memory: so the gradients of several backward passes add up, and
    a layer that works in place on the top leaves the learned values alone.

    Raises:
        LayerError: a shape with a negative size, or too large.
    """

    bottoms = (0, 0)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = tuple(self.param.parameter_param.shape.dim)
        try:
            top[0].reshape(*shape)
        except NetError as error:
            raise self.error(f"parameter_param: {error}") from None
        self.add_blob(shape, caffe_pb2.FillerParameter(type="constant"))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*self.blobs[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].data[...] = self.blobs[0].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if self.param_propagate_down[0]:
            diff = self.blobs[0].diff
            diff += top[0].diff
