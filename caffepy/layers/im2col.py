"""Im2col: what a convolution multiplies, one column for each place of its window."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._window import conv_window

__all__ = ["Im2col"]


@register_layer("Im2col")
class Im2col(Layer):
    """``y[n, (c, k), p] = x[n, c, p * stride - pad + k * dilation]``, 0 outside the image, for taps k and places p.

    x (N, C, *spatial), y (N, C * prod(kernel), *output) with Convolution's output size. Of convolution_param it reads
    kernel_size, stride, pad, dilation (or their _h and _w) and axis, which says where the channels are: what is before
    it is N, what is behind it, at least one axis, is space. Not in place. Source: Caffe's im2col_layer.cpp.

    Raises:
        LayerError: settings that contradict each other, or do not fit the bottom.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.convolution_param
        self.channel_axis = self.axis(bottom[0], param.axis)
        spatial = len(bottom[0].shape) - self.channel_axis - 1
        if spatial < 1:
            raise self.error(
                f"needs an axis behind the channels, axis {self.channel_axis} (Check failed: num_spatial_axes_ >= 1); "
                f"the bottom is {bottom[0].shape_string}."
            )
        self.window = conv_window(self, param, spatial)
        window = self.window
        self.im2col = self.ops.Im2col(self.backend, window.kernel, window.stride, window.pad, window.dilation)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        lead, space = shape[: self.channel_axis], shape[self.channel_axis + 1 :]
        if len(space) != len(self.window.kernel):
            axes = len(self.window.kernel)
            raise self.error(f"bottom num_axes may not change: {axes} spatial axes at setup, now {len(space)}.")
        channels = shape[self.channel_axis]
        columns = channels * math.prod(self.window.kernel)
        output = self.window.conv_output(self, space)
        top[0].reshape(*lead, columns, *output)
        images = math.prod(lead)
        self.im2col.plan((images, channels, *space), (images, columns, *output))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.im2col.forward(bottom[0].data, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            self.im2col.backward(top[0].diff, bottom[0].diff)
