"""Which layers keep their blobs in float16 where the backend has a half, and the casts between them and the others."""

from __future__ import annotations

from collections.abc import Sequence

from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.proto import caffe_pb2

__all__ = ["Cast", "in_half"]

#: Made of products: they read and write float16 whatever the layers around them do.
_PRODUCTS = frozenset(["Convolution", "Deconvolution", "InnerProduct"])
#: As exact on float16, which they compute from in float32, or only copy: they go by their bottoms.
_FOLLOW = frozenset(
    [
        *("BatchNorm", "Bias", "Concat", "Crop", "Dropout", "Eltwise", "Flatten", "LRN", "PReLU", "Pooling"),
        *("ReLU", "Reshape", "Scale", "Slice", "Split"),
    ]
)


def in_half(param: caffe_pb2.LayerParameter, bottom: Sequence[Blob]) -> bool:
    """Whether a layer keeps its blobs in float16: products, and what only passes their values on.

    All others have float32 of their own: data and labels, losses, softmax, sigmoids and powers, sequences, and layers
    of users. So does one whose top is a loss, for the gradient of it is the loss scale.
    """
    if any(param.loss_weight):
        return False
    if param.type in _PRODUCTS:
        return True
    return param.type in _FOLLOW and all(blob.backend.half is None for blob in bottom) and _exact(param)


def _exact(param: caffe_pb2.LayerParameter) -> bool:
    """Whether the settings of a layer that follows are among those that are exact enough."""
    if param.type == "Pooling":
        # Numbers of places are more than float16 counts, and draws depend on the last bit.
        return len(param.top) == 1 and param.pooling_param.pool != caffe_pb2.PoolingParameter.STOCHASTIC
    if param.type == "LRN":
        return param.lrn_param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
    if param.type == "Eltwise":
        return param.eltwise_param.operation != caffe_pb2.EltwiseParameter.PROD
    return True


class Cast(Layer):
    """The bottom's values in the top's dtype, and the top's gradients in the bottom's; a net makes it, no file does.

    What float16 cannot hold, beyond 65504, becomes infinite in it.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to read."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].data[...] = bottom[0].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff
