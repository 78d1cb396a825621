"""Convolution: filters slid over images."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._window import conv_window

__all__ = ["Convolution"]


@register_layer("Convolution")
class Convolution(Layer):
    """``y[n, m, p] = b[m] + sum of w[m, c, k] * x[n, c, p * stride - pad + k * dilation]`` over c and taps k.

    Bottoms x (N, C, *spatial), tops y (N, num_output, *output), as many tops as bottoms, all through the same filters;
    output is ``floor((size + 2 pad - dilation * (kernel - 1) - 1) / stride) + 1``. ``axis`` says where channels are:
    what is before it is N, what is behind it is space, of any number of axes. With ``group`` g, output channels fall
    into g groups that each see their own C / g channels. Learns w (num_output, C / group, *kernel) and, unless
    ``bias_term: false``, b (num_output,). Not in place. Source: Caffe's base_conv_layer.cpp and conv_layer.cpp.

    Raises:
        LayerError: settings that contradict each other, or do not fit the bottoms.
    """

    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    in_place = False

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
        self.num_output = num_output
        # Filters larger than the image are refused before there is memory for them.
        self.window.conv_output(self, bottom[0].shape[self.channel_axis + 1 :])
        self.add_blob((num_output, channels // group, *self.window.kernel), param.weight_filler)
        if param.bias_term:
            self.add_blob((num_output,), param.bias_filler)
        self.convs = [
            self.ops.Conv(
                self.backend, num_output, self.window.kernel, self.window.stride, self.window.pad, self.window.dilation,
                group,
            )
            for _ in bottom
        ]  # fmt: skip

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        channels = self.blobs[0].shape[1] * self.param.convolution_param.group
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
            if x.shape[self.channel_axis] != channels:
                raise self.error(
                    "Input size incompatible with convolution kernel: the filters read "
                    f"{channels} channels, bottom has shape {x.shape_string}."
                )
            output = self.window.conv_output(self, space)
            y.reshape(*lead, self.num_output, *output)
            images = math.prod(lead)
            conv.plan((images, channels, *space), (images, self.num_output, *output))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        b = self.blobs[1].data if len(self.blobs) > 1 else None
        for x, y, conv in zip(bottom, top, self.convs, strict=True):
            conv.forward(self._images(x.data), self.blobs[0].data, b, self._images(y.data))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for x, y, down, conv in zip(bottom, top, propagate_down, self.convs, strict=True):
            dy = self._images(y.diff)
            if len(self.blobs) > 1 and self.param_propagate_down[1]:
                conv.backward_bias(dy, self.blobs[1].diff)
            if self.param_propagate_down[0]:
                conv.backward_filter(self._images(x.data), dy, self.blobs[0].diff)
            if down:
                conv.backward_data(dy, self.blobs[0].data, self._images(x.diff))

    def _images(self, array: object) -> object:
        """All axes before the channels as one."""
        return array.reshape(-1, *array.shape[self.channel_axis :])  # type: ignore[attr-defined]
