"""Embed: rows of a learned table, picked by number."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["Embed"]


@register_layer("Embed")
class Embed(Layer):
    """``y[...] = w[x[...]] + b``; x of any shape, whole numbers 0..input_dim-1; y (*x.shape, num_output).

    The same as InnerProduct of one-hot vectors. Learns w (input_dim, num_output) and, unless ``bias_term: false``, b
    (num_output,). No gradient for x. Not in place. Source: Caffe's embed_layer.cpp, which checks x only in debug
    builds.

    Raises:
        LayerError: no num_output or input_dim, an x that is no row's number (in forward), backward to x.
    """

    bottoms = (1, 1)
    tops = (1, 1)
    in_place = False
    no_gradient = frozenset({0})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        param = self.param.embed_param
        for field in ("num_output", "input_dim"):
            if getattr(param, field) < 1:
                raise self.error(f"EmbedLayer {field} must be positive; got 0. Set it in embed_param.")
        self.input_dim, self.num_output = param.input_dim, param.num_output
        self.add_blob((self.input_dim, self.num_output), param.weight_filler)
        self.total = self.backend.empty((0,))
        if param.bias_term:
            self.add_blob((self.num_output,), param.bias_filler)
            self.total = self.backend.empty((self.num_output,))
        self.gather = self.ops.Gather(self.backend)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        top[0].reshape(*bottom[0].shape, self.num_output)
        self.gather.plan(self.input_dim, bottom[0].count)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.gather.set_index(bottom[0].data, True)
        self.backend.defer(self._check)
        y = top[0].data.reshape(-1, self.num_output)
        self.gather.forward(self.blobs[0].data, y)
        if len(self.blobs) > 1:
            y += self.blobs[1].data

    def _check(self) -> None:
        if bad := self.gather.first_bad():
            place, value = bad
            wrong = "index >= 0" if value < 0 else "index < K_" if value >= self.input_dim else "non-integer input"
            raise self.error(
                f"element {place} of the bottom is {value:g}: expected a whole number in 0..{self.input_dim - 1} "
                f"(Check failed: {wrong}). Set input_dim to the number of different inputs, which count from 0."
            )

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[0]:
            raise self.error("Can't backpropagate to EmbedLayer input. Set propagate_down: false.")
        dy = top[0].diff.reshape(-1, self.num_output)
        if self.param_propagate_down[0]:
            self.gather.backward(dy, self.blobs[0].diff)
        if len(self.blobs) > 1 and self.param_propagate_down[1]:
            self.xp.sum(dy, axis=0, out=self.total)
            diff = self.blobs[1].diff
            diff += self.total
