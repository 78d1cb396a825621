"""InnerProduct: every output reads every input."""

from __future__ import annotations

import math

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["InnerProduct"]


@register_layer("InnerProduct")
class InnerProduct(Layer):
    """``y = x w^T + b``; x of any shape, taken as (M, K) with K all axes from ``axis`` on; y (..., num_output).

    Learns w (num_output, K), or (K, num_output) with ``transpose: true``, and, unless ``bias_term: false``, b
    (num_output,). Not in place. Source: Caffe's inner_product_layer.cpp.

    Raises:
        LayerError: no num_output, no such axis, or a bottom whose size has changed.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.inner_product_param
        if param.num_output < 1:
            raise self.error(f"num_output must be positive; got {param.num_output}. Set it in inner_product_param.")
        self.num_output = param.num_output
        self.first_axis = self.axis(bottom[0], param.axis)
        self.inputs = math.prod(bottom[0].shape[self.first_axis :])
        shape = (self.inputs, self.num_output) if param.transpose else (self.num_output, self.inputs)
        self.add_blob(shape, param.weight_filler)
        if param.bias_term:
            self.add_blob((self.num_output,), param.bias_filler)
        self.product = self.ops.InnerProduct(self.backend, param.transpose)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        lead = bottom[0].shape[: self.first_axis]
        if math.prod(bottom[0].shape[self.first_axis :]) != self.inputs:
            raise self.error(
                f"Input size incompatible with inner product parameters: weights read {self.inputs} values from axis "
                f"{self.first_axis} on, bottom has shape {bottom[0].shape_string}."
            )
        top[0].reshape(*lead, self.num_output)
        rows = math.prod(lead)
        self.product.plan((rows, self.inputs), (rows, self.num_output))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        b = self.blobs[1].data if len(self.blobs) > 1 else None
        x, y = bottom[0].data.reshape(-1, self.inputs), top[0].data.reshape(-1, self.num_output)
        self.product.forward(x, self.blobs[0].data, b, y)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].diff.reshape(-1, self.num_output)
        if self.param_propagate_down[0]:
            self.product.backward_filter(bottom[0].data.reshape(-1, self.inputs), dy, self.blobs[0].diff)
        if len(self.blobs) > 1 and self.param_propagate_down[1]:
            self.product.backward_bias(dy, self.blobs[1].diff)
        if propagate_down[0]:
            self.product.backward_data(dy, self.blobs[0].data, bottom[0].diff.reshape(-1, self.inputs))
