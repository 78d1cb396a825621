"""Scale: multiplies by a smaller blob, learned or computed, and may add a bias."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer
from caffepy.layers._broadcast import learned_shape, outer_middle_inner
from caffepy.proto import caffe_pb2

__all__ = ["Scale"]


@register_layer("Scale")
class Scale(Layer):
    """``y = x * s``, or ``x * s + b`` with bias_term; s and b repeated over the axes that they lack, in place allowed.

    With one bottom s is learned (filled with 1 unless given), of the bottom's shape from scale_param.axis on, num_axes
    long (1 and 1 unless given: one for each channel; -1: to the end, 0: a single number). With two bottoms s is the
    second, laid from axis on. b is learned, of the shape of s. Gradients of s always add up; in Caffe's scale_layer.cpp
    the last one replaces those before it where the axes before ``axis`` are of size 1.

    Raises:
        LayerError: axes that the bottom does not have, or a second bottom that does not fit.
    """

    bottoms = (1, 2)
    tops = (1, 1)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.scale_param
        self.given_axis, self.bias_term = param.axis, param.bias_term
        if len(bottom) == 1:
            filler = param.filler
            if not param.HasField("filler"):
                filler = caffe_pb2.FillerParameter(type="constant", value=1)
            self.add_blob(learned_shape(self, bottom[0], param.axis, param.num_axes, "scale"), filler)
        self.bias_index = len(self.blobs)
        if self.bias_term:
            self.add_blob(self._scale(bottom).shape, param.bias_filler)
        self.total, self.kept = self.backend.full.empty((0,)), self.backend.empty((0,))

    def _scale(self, bottom: list[Blob]) -> Blob:
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        scale = self._scale(bottom)
        self.shape = outer_middle_inner(self, bottom[0], scale, self.given_axis, "scale")
        if self.bias_term and self.blobs[self.bias_index].shape != scale.shape:
            raise self.error(
                f"the bias was made for {self.blobs[self.bias_index].shape_string}; "
                f"the scale is now {scale.shape_string}."
            )
        top[0].reshape(*bottom[0].shape)
        if self.total.size != scale.count:
            self.total = self.backend.full.empty((scale.count,))
        if top[0] is bottom[0] and self.kept.shape != bottom[0].shape:
            self.kept = self.backend.empty(bottom[0].shape)
        self.backend.full.scratch(self.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        if top[0] is bottom[0]:
            # The gradient of s needs x.
            self.kept[...] = bottom[0].data
        y = top[0].data.reshape(self.shape)
        s = self._scale(bottom).data.reshape(1, -1, 1)
        self.xp.multiply(bottom[0].data.reshape(self.shape), s, out=y)
        if self.bias_term:
            y += self.blobs[self.bias_index].data.reshape(1, -1, 1)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        dy = top[0].diff.reshape(self.shape)
        learned = len(bottom) == 1
        if self.bias_term and self.param_propagate_down[self.bias_index]:
            self.xp.sum(dy, axis=(0, 2), dtype=self.total.dtype, out=self.total)
            db = self.blobs[self.bias_index].diff.reshape(-1)
            db += self.total
        if self.param_propagate_down[0] if learned else propagate_down[1]:
            x = self.kept if top[0] is bottom[0] else bottom[0].data
            product = self.backend.full.scratch(self.shape)
            self.xp.multiply(dy, x.reshape(self.shape), dtype=product.dtype, out=product)
            self.xp.sum(product, axis=(0, 2), out=self.total)
            diff = self._scale(bottom).diff.reshape(-1)
            if learned:
                diff += self.total
            else:
                diff[...] = self.total
        if propagate_down[0]:
            s = self._scale(bottom).data.reshape(1, -1, 1)
            self.xp.multiply(dy, s, out=bottom[0].diff.reshape(self.shape))
