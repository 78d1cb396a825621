"""Bias: adds a smaller blob, learned or computed."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._broadcast import learned_shape, outer_middle_inner

__all__ = ["Bias"]


@register_layer("Bias")
class Bias(Layer):
    """``y = x + b``, b repeated over the axes that it lacks, in place allowed (Caffe's bias_layer.cpp).

    With one bottom b is learned, of the bottom's shape from bias_param.axis on, num_axes long (1 and 1 unless given:
    one for each channel; -1: to the end, 0: a single number). With two bottoms b is the second, laid from axis on.

    Raises:
        LayerError: axes that the bottom does not have, or a second bottom that does not fit.
    """

    bottoms = (1, 2)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.bias_param
        self.given_axis = param.axis
        if len(bottom) == 1:
            self.add_blob(learned_shape(self, bottom[0], param.axis, param.num_axes, "bias"), param.filler)
        self.total = self.backend.full.empty((0,))

    def _bias(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        bias = self._bias(bottom)
        self.shape = outer_middle_inner(self, bottom[0], bias, self.given_axis, "bias")
        top[0].reshape(*bottom[0].shape)
        if self.total.size != bias.count:
            self.total = self.backend.full.empty((bias.count,))

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        b = self._bias(bottom).data.reshape(1, -1, 1)
        self.xp.add(bottom[0].data.reshape(self.shape), b, out=top[0].data.reshape(self.shape))

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].diff.reshape(self.shape)
        learned = len(bottom) == 1
        if self.param_propagate_down[0] if learned else propagate_down[1]:
            self.xp.sum(dy, axis=(0, 2), dtype=self.total.dtype, out=self.total)
            diff = self._bias(bottom).diff.reshape(-1)
            if learned:
                diff += self.total
            else:
                diff[...] = self.total
        if propagate_down[0] and bottom[0] is not top[0]:
            bottom[0].diff[...] = top[0].diff
