"""What Convolution and Deconvolution share: settings, learnable blobs and shapes; one is the other's transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import Layer
from caffepy.layers._window import conv_window

__all__ = ["ConvolutionBase"]


class ConvolutionBase(Layer):
    """A Conv op for each bottom, with the checks of Caffe's base_conv_layer.cpp; forward and backward are a subclass's.

    The op's y has the channels of the bottom where ``reverse``, else those of the top.
    """

    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    in_place = False

    #: Whether the op's x is the top, and its y the bottom.
    reverse: ClassVar[bool]

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        self.channel_axis = self.axis(bottom[0], param.axis)
        spatial = len(bottom[0].shape) - self.channel_axis - 1
        self.window = conv_window(self, param, spatial)
        channels, group, num_output = bottom[0].shape[self.channel_axis], param.group, param.num_output
        if num_output < 1:
            raise self.error(f"num_output must be positive (Check failed: num_output_ > 0); got {num_output}.")
        for count, what in ((channels, "input channels"), (num_output, "outputs (num_output)")):
            if group < 1 or count % group:
                raise self.error(f"{count} {what} not divisible by group {group}. Set group to a divisor of {count}.")
        self.channels, self.num_output = channels, num_output
        # A window that does not fit is refused before there is memory for its filters.
        self._output(bottom[0].shape[self.channel_axis + 1 :])
        rows, columns = (channels, num_output) if self.reverse else (num_output, channels)
        self.add_blob((rows, columns // group, *self.window.kernel), param.weight_filler)
        if param.bias_term:
            self.add_blob((num_output,), param.bias_filler)
        self.convs = [
            self.ops.Conv(
                self.backend, rows, self.window.kernel, self.window.stride, self.window.pad, self.window.dilation, group
            )
            for _ in bottom
        ]
        self._shapes: list[tuple[int, ...]] = []

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        # As they were in the pass before, most of the time.
        if [blob.shape for blob in (*bottom, *top)] == self._shapes:
            return
        self._shapes = []
        for x, y, conv in zip(bottom, top, self.convs, strict=True):
            if x.shape != bottom[0].shape:
                raise self.error(
                    "All inputs must have the same shape: "
                    f"bottom[0] has {bottom[0].shape_string}, another {x.shape_string}."
                )
            lead, space = x.shape[: self.channel_axis], x.shape[self.channel_axis + 1 :]
            if len(space) != len(self.window.kernel):
                axes = len(self.window.kernel)
                raise self.error(f"bottom num_axes may not change: {axes} spatial axes at setup, now {len(space)}.")
            if x.shape[self.channel_axis] != self.channels:
                raise self.error(
                    "Input size incompatible with convolution kernel: the filters read "
                    f"{self.channels} channels, bottom has shape {x.shape_string}."
                )
            output = self._output(space)
            y.reshape(*lead, self.num_output, *output)
            images = math.prod(lead)
            below, above = (images, self.channels, *space), (images, self.num_output, *output)
            conv.plan(*((above, below) if self.reverse else (below, above)))
        self._shapes = [blob.shape for blob in (*bottom, *top)]

    def _output(self, space: Sequence[int]) -> tuple[int, ...]:
        return self.window.conv_input(self, space) if self.reverse else self.window.conv_output(self, space)

    def _images(self, array: Array) -> Array:
        """All axes before the channels as one."""
        return array.reshape(-1, *array.shape[self.channel_axis :])
