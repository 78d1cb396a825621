"""Convolution: filters slid over images."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import register_layer
from caffepy.layers._convolution import ConvolutionBase

__all__ = ["Convolution"]


@register_layer("Convolution")
class Convolution(ConvolutionBase):
    """``y[n, m, p] = b[m] + sum of w[m, c, k] * x[n, c, p * stride - pad + k * dilation]`` over c and taps k.

    Bottoms x (N, C, *spatial), tops y (N, num_output, *output), as many tops as bottoms, all through the same filters;
    output is ``floor((size + 2 pad - dilation * (kernel - 1) - 1) / stride) + 1``. ``axis`` says where channels are:
    what is before it is N, what is behind it is space, of any number of axes. With ``group`` g, output channels fall
    into g groups that each see their own C / g channels. Learns w (num_output, C / group, *kernel) and, unless
    ``bias_term: false``, b (num_output,). Not in place. Source: Caffe's base_conv_layer.cpp and conv_layer.cpp.

    Raises:
        LayerError: settings that contradict each other, or do not fit the bottoms.
    """

    reverse = False

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
