"""LSTMUnit: one time step of an LSTM, from the inputs of its gates on."""

from __future__ import annotations

from caffepy.blob import Blob
from caffepy.layer import Layer, register_layer

__all__ = ["LSTMUnit"]


@register_layer("LSTMUnit")
class LSTMUnit(Layer):
    """``c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g)`` and ``h = sigmoid(o) tanh(c)``.

    Bottoms: c_prev (1, N, D); the gates' inputs i, f, o, g (1, N, 4 D) in this order; cont (1, N), 0 where a sequence
    begins and else 1. Tops: c and h, (1, N, D) each. Not in place. Where cont is neither 0 nor 1 the gradient of f is
    Caffe's, ``s (1 - s)`` of s = cont sigmoid(f). The layer LSTM is many of these with weights. Source: Caffe's
    lstm_unit_layer.cpp.

    Raises:
        LayerError: bottoms of other shapes, or backward to cont.
    """

    bottoms = (3, 3)
    tops = (2, 2)
    in_place = False
    no_gradient = frozenset({2})

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.unit = self.ops.LSTMUnit(self.backend)
        #: For a gradient that nobody wants.
        self.unwanted = [Blob(self.backend) for _ in range(2)]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        shape = bottom[0].shape
        _, streams, size = shape if len(shape) == 3 else (1, 0, 0)
        expected = [(1, streams, size), (1, streams, 4 * size), (1, streams)]
        if [blob.shape for blob in bottom] != expected:
            raise self.error(
                "takes c_prev (1, N, D), gate inputs (1, N, 4 D) and cont (1, N) (Check failed: 3 == "
                "bottom[i]->num_axes(), 1 == bottom[i]->shape(0), num_instances == bottom[i]->shape(1), "
                f"4 * hidden_dim_ == bottom[1]->shape(2)); got {', '.join(blob.shape_string for blob in bottom)}."
            )
        self.unit.plan((streams, size))
        for blob in top:
            blob.reshape(*shape)
        for blob, wanted in zip(self.unwanted, bottom, strict=False):
            blob.reshape(*wanted.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        c_prev, x, cont = (blob.data for blob in bottom)
        self.unit.forward(c_prev, x, cont, top[0].data, top[1].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        if propagate_down[2]:
            raise self.error("Cannot backpropagate to sequence indicators.")
        if any(propagate_down):
            out = [
                blob.diff if down else unwanted.diff
                for blob, down, unwanted in zip(bottom, propagate_down, self.unwanted, strict=False)
            ]
            c_prev, x, cont = (blob.data for blob in bottom)
            self.unit.backward(c_prev, x, cont, top[0].data, top[0].diff, top[1].diff, *out)
