"""Concat: bottoms joined along one axis."""

from __future__ import annotations

from itertools import pairwise

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Concat"]


@register_layer("Concat")
class Concat(Layer):
    """Joins bottoms that differ in size along concat_param.axis only, 1 unless given (Caffe's concat_layer.cpp).

    For axis 1: (N, C1, H, W), (N, C2, H, W), ... to (N, C1 + C2 + ..., H, W). ``concat_dim`` is an older name of axis.

    Raises:
        LayerError: axis and concat_dim both given, no such axis, bottoms that do not fit.
    """

    bottoms = (1, None)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.concat_param
        if param.HasField("axis") and param.HasField("concat_dim"):
            raise self.error("Either axis or concat_dim should be specified; not both. Remove concat_dim.")
        self.given_axis = param.concat_dim if param.HasField("concat_dim") else param.axis

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        axis = self.axis(bottom[0], self.given_axis)
        first = bottom[0].shape
        for i, blob in enumerate(bottom):
            if len(blob.shape) != len(first):
                raise self.error(
                    f"All inputs must have the same #axes: bottom[0] is {bottom[0].shape_string}, "
                    f"bottom[{i}] is {blob.shape_string}."
                )
            if blob.shape[:axis] != first[:axis] or blob.shape[axis + 1 :] != first[axis + 1 :]:
                raise self.error(
                    f"All inputs must have the same shape, except at concat_axis {axis}: bottom[0] is "
                    f"{bottom[0].shape_string}, bottom[{i}] is {blob.shape_string}."
                )
        ends = [0]
        for blob in bottom:
            ends.append(ends[-1] + blob.shape[axis])
        self.parts = [(slice(None),) * axis + (slice(begin, end),) for begin, end in pairwise(ends)]
        top[0].reshape(*first[:axis], ends[-1], *first[axis + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for part, blob in zip(self.parts, bottom, strict=True):
            top[0].data[part] = blob.data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for part, blob, wanted in zip(self.parts, bottom, propagate_down, strict=True):
            if wanted:
                blob.diff[...] = top[0].diff[part]
