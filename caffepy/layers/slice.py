"""Slice: one bottom cut into tops along one axis."""

from __future__ import annotations

from itertools import pairwise

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Slice"]


@register_layer("Slice")
class Slice(Layer):
    """Cuts along slice_param.axis, 1 unless given, at each ``slice_point``, or evenly without (slice_layer.cpp).

    ``slice_dim`` is an older name of axis.

    Raises:
        LayerError: axis and slice_dim both given, no such axis, points that do not fit the tops or the bottom.
    """

    bottoms = (1, 1)
    tops = (1, None)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.slice_param
        if param.HasField("axis") and param.HasField("slice_dim"):
            raise self.error("Either axis or slice_dim should be specified; not both. Remove slice_dim.")
        self.given_axis = param.slice_dim if param.HasField("slice_dim") else param.axis
        self.points = list(param.slice_point)
        if self.points and len(self.points) != len(top) - 1:
            raise self.error(
                f"{len(top)} tops need {len(top) - 1} slice_point, got {len(self.points)} "
                "(Check failed: slice_point_.size() == top.size() - 1)."
            )

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        axis = self.axis(bottom[0], self.given_axis)
        size = bottom[0].shape[axis]
        if not self.points and size % len(top):
            raise self.error(
                f"Number of top blobs ({len(top)}) should evenly divide input slice axis ({size}). "
                "Give slice_point, or another number of tops."
            )
        ends = [0, *(self.points or range(size // len(top), size, size // len(top) or 1)), size]
        if any(begin >= end for begin, end in pairwise(ends)):
            raise self.error(
                f"slice_point must increase from above 0 to below the size of axis {axis}, {size} "
                f"(Check failed: slice_point_[i] > prev); got {', '.join(map(str, self.points)) or 'none'}."
            )
        self.parts = [(slice(None),) * axis + (slice(begin, end),) for begin, end in pairwise(ends)]
        for blob, (begin, end) in zip(top, pairwise(ends), strict=True):
            blob.reshape(*bottom[0].shape[:axis], end - begin, *bottom[0].shape[axis + 1 :])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for part, blob in zip(self.parts, top, strict=True):
            blob.data[...] = bottom[0].data[part]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            for part, blob in zip(self.parts, top, strict=True):
                bottom[0].diff[part] = blob.diff
