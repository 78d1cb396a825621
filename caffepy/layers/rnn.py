"""RNN: a simple recurrent layer over sequences."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import register_layer
from caffepy.layers._recurrent import RecurrentBase

__all__ = ["RNN"]


@register_layer("RNN")
class RNN(RecurrentBase):
    """A simple recurrent layer over T steps of N streams, D = num_output::

        h_t = tanh(W_xh x_t + b_h + W_xh_static s + W_hh (cont_t h_{t-1}))      o_t = tanh(W_ho h_t + b_o)

    Bottoms: x (T, N, ...); cont (T, N), 0 where a sequence begins and else 1; optionally s (N, ...), the same for all
    steps; with ``expose_hidden: true`` h_0 (1, N, D). Tops: o (T, N, D); with ``expose_hidden`` h_T. Learns W_xh
    (D, X), b_h (D,), with s W_xh_static (D, S), W_hh (D, D), W_ho (D, D) and b_o (D,), in this order.

    Without ``expose_hidden`` a pass goes on from the last step of the pass before, where cont is not 0. No gradient
    goes back to the pass before, to exposed states, or from them. T cannot change. Not in place. Source: Caffe's
    rnn_layer.cpp.

    Raises:
        LayerError: no num_output; bottoms that do not match; another number of steps than at setup.
    """

    bottoms = (2, 4)
    tops = (1, 2)
    states = 1
    gates = 1

    def setup_steps(self) -> None:
        param, size = self.param.recurrent_param, self.num_output
        #: The first blob that does not read a bottom.
        self.own = len(self.blobs)
        self.add_blob((size, size), param.weight_filler)
        self.add_blob((size, size), param.weight_filler)
        self.add_blob((size,), param.bias_filler)
        self.step_product, self.hidden_product, self.output_product = (
            self.ops.InnerProduct(self.backend, False) for _ in range(3)
        )
        #: cont_t h_{t-1}, h_t and o_t of all steps, with the diffs of the last two; what one step adds, or takes back.
        self.kept, self.hidden, self.outputs, self.carried = (Blob(self.backend) for _ in range(4))

    def plan_steps(self, streams: int) -> None:
        size, every = self.num_output, self.steps * streams
        self.step_product.plan((streams, size), (streams, size))
        self.hidden_product.plan((every, size), (every, size))
        self.output_product.plan((every, size), (every, size))
        for blob in (self.kept, self.hidden, self.outputs):
            blob.reshape(self.steps, streams, size)
        self.carried.reshape(streams, size)

    def forward_steps(self, cont: Array, out: Array) -> None:
        w_hh, w_ho, b_o = (blob.data for blob in self.blobs[self.own :])
        pre, kept, hidden, outputs, carried = (
            blob.data for blob in (self.pre, self.kept, self.hidden, self.outputs, self.carried)
        )
        h = self.first[0].data[0]
        for t in range(self.steps):
            self.xp.multiply(h, cont[t][:, None], out=kept[t])
            self.step_product.forward(kept[t], w_hh, None, carried)
            carried += pre[t]
            self.xp.tanh(carried, out=hidden[t])
            h = hidden[t]
        self.last[0].data[0] = h
        self.output_product.forward(self._flat(hidden), w_ho, b_o, self._flat(outputs))
        self.xp.tanh(outputs, out=outputs)
        out[...] = outputs

    def backward_steps(self, cont: Array, dy: Array) -> None:
        w_hh, w_ho = (blob.data for blob in self.blobs[self.own : self.own + 2])
        hidden, dpre, dh, carried = self.hidden.data, self.pre.diff, self.hidden.diff, self.carried.data
        do = self._through_tanh(self.outputs.data, dy, self.outputs.diff)
        self.output_product.backward_data(self._flat(do), w_ho, self._flat(dh))
        carried.fill(0)
        for t in reversed(range(self.steps)):
            carried += dh[t]
            self._through_tanh(hidden[t], carried, dpre[t])
            if t:
                self.step_product.backward_data(dpre[t], w_hh, carried)
                carried *= cont[t][:, None]
        wanted = self.param_propagate_down[self.own :]
        diffs = [blob.diff for blob in self.blobs[self.own :]]
        if wanted[0]:
            self.hidden_product.backward_filter(self._flat(self.kept.data), self._flat(dpre), diffs[0])
        if wanted[1]:
            self.output_product.backward_filter(self._flat(hidden), self._flat(do), diffs[1])
        if wanted[2]:
            self.output_product.backward_bias(self._flat(do), diffs[2])

    def _through_tanh(self, y: Array, dy: Array, out: Array) -> Array:
        """``dy * (1 - y^2)``."""
        self.xp.multiply(y, y, out=out)
        self.xp.subtract(1, out, out=out)
        out *= dy
        return out

    def _flat(self, array: Array) -> Array:
        return array.reshape(-1, self.num_output)
