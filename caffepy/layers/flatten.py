"""Flatten: several axes to one."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Flatten"]


@register_layer("Flatten")
class Flatten(Layer):
    """Makes one axis of flatten_param.axis to end_axis, both included.

    They are 1 and -1 unless given: (N, C, H, W) to (N, C * H * W). Data and diff of the top are the bottom's memory
    (Caffe's flatten_layer.cpp copies neither).

    Raises:
        LayerError: no such axis, or end_axis before axis.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.flatten_param
        self.begin, self.end = param.axis, param.end_axis

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        begin = self.axis(bottom[0], self.begin)
        end = self.axis(bottom[0], self.end, "end_axis") + 1
        if begin > end:
            raise self.error(
                f"end_axis {self.end} lies before axis {self.begin} (Check failed: start_axis <= end_axis) "
                f"of a bottom {bottom[0].shape_string}."
            )
        top[0].reshape(*shape[:begin], math.prod(shape[begin:end]), *shape[end:])
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Nothing to do: the memory is shared."""

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing to do: the memory is shared."""
