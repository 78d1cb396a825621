"""Deconvolution: a convolution turned around, to make images larger."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import register_layer
from caffepy.layers._convolution import ConvolutionBase

__all__ = ["Deconvolution"]


@register_layer("Deconvolution")
class Deconvolution(ConvolutionBase):
    """``y[n, m, p * stride - pad + k * dilation] += w[c, m, k] * x[n, c, p]`` over c, p and taps k, from b[m] on.

    That is Convolution's backward pass as a forward pass, with the same fields. Bottoms x (N, C, *spatial), tops y
    (N, num_output, *output), as many tops as bottoms; output is ``stride * (size - 1) + dilation * (kernel - 1) + 1 -
    2 pad``. ``axis`` says where channels are: what is before it is N, what is behind it is space, of any number of
    axes. With ``group`` g, both kinds of channels fall into g groups. Learns w (C, num_output / group, *kernel) and,
    unless ``bias_term: false``, b (num_output,). Not in place. To upsample by a factor f: kernel_size 2 f - f % 2,
    stride f, pad ceil((f - 1) / 2), num_output and group C, a bilinear weight_filler, bias_term false and lr_mult 0.
    Source: Caffe's base_conv_layer.cpp and deconv_layer.cpp.

    Raises:
        LayerError: settings that contradict each other, or do not fit the bottoms.
    """

    reverse = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        super().setup(bottom, top)
        self.bias_sum = self.backend.full.zeros((self.num_output,))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        for x, y, conv in zip(bottom, top, self.convs, strict=True):
            images = self._images(y.data)
            conv.backward_data(self._images(x.data), self.blobs[0].data, images)
            if len(self.blobs) > 1:
                planes = images.reshape(*images.shape[:2], math.prod(images.shape[2:]))
                planes += self.blobs[1].data[:, None]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for x, y, down, conv in zip(bottom, top, propagate_down, self.convs, strict=True):
            dy = self._images(y.diff)
            if len(self.blobs) > 1 and self.param_propagate_down[1]:
                planes = dy.reshape(*dy.shape[:2], math.prod(dy.shape[2:]))
                planes.sum(axis=(0, 2), dtype=self.bias_sum.dtype, out=self.bias_sum)
                db = self.blobs[1].diff
                db += self.bias_sum
            if self.param_propagate_down[0]:
                conv.backward_filter(dy, self._images(x.data), self.blobs[0].diff)
            if down:
                conv.forward(dy, self.blobs[0].data, None, self._images(x.diff))
