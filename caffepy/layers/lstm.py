"""LSTM: a layer with a memory that gates keep, over sequences."""

from __future__ import annotations

from caffepy.backend import Array
from caffepy.blob import Blob
from caffepy.layer import register_layer
from caffepy.layers._recurrent import RecurrentBase

__all__ = ["LSTM"]


@register_layer("LSTM")
class LSTM(RecurrentBase):
    """Long short-term memory over T steps of N streams, D = num_output::

        i, f, o, g = W_xc x_t + b_c + W_xc_static s + W_hc (cont_t h_{t-1})      the first three through sigmoid, g tanh
        c_t = cont_t f c_{t-1} + i g      h_t = o tanh(c_t)

    Bottoms: x (T, N, ...); cont (T, N), 0 where a sequence begins and else 1; optionally s (N, ...), the same for all
    steps; with ``expose_hidden: true`` h_0 and c_0, (1, N, D) each. Tops: h (T, N, D); with ``expose_hidden`` h_T and
    c_T. Learns W_xc (4 D, X), b_c (4 D,), with s W_xc_static (4 D, S), and W_hc (4 D, D), in this order.

    Without ``expose_hidden`` a pass goes on from the last step of the pass before, where cont is not 0. No gradient
    goes back to the pass before, to exposed states, or from them. T cannot change. Not in place. Sources: Hochreiter
    and Schmidhuber, 1997; Donahue et al., arXiv 1411.4389; Caffe's lstm_layer.cpp.

    Raises:
        LayerError: no num_output; bottoms that do not match; another number of steps than at setup.
    """

    bottoms = (2, 5)
    tops = (1, 3)
    states = 2
    gates = 4

    def setup_steps(self) -> None:
        #: The blob that does not read a bottom.
        self.own = len(self.blobs)
        self.add_blob((self.rows, self.num_output), self.param.recurrent_param.weight_filler)
        self.step_product = self.ops.InnerProduct(self.backend, False)
        self.hidden_product = self.ops.InnerProduct(self.backend, False)
        self.unit = self.ops.LSTMUnit(self.backend)
        #: cont_t h_{t-1} and c_t of all steps; what one step adds to its gates; dh and dc on their way back.
        self.kept, self.cells = Blob(self.backend), Blob(self.backend)
        self.added = Blob(self.backend)
        self.dh, self.dc = Blob(self.backend), Blob(self.backend)

    def plan_steps(self, streams: int) -> None:
        size, rows = self.num_output, self.rows
        self.step_product.plan((streams, size), (streams, rows))
        self.hidden_product.plan((self.steps * streams, size), (self.steps * streams, rows))
        self.unit.plan((streams, size))
        self.kept.reshape(self.steps, streams, size)
        self.cells.reshape(self.steps, streams, size)
        self.added.reshape(streams, rows)
        self.dh.reshape(streams, size)
        self.dc.reshape(streams, size)

    def forward_steps(self, cont: Array, out: Array) -> None:
        w, pre, kept, cells, added = (
            blob.data for blob in (self.blobs[self.own], self.pre, self.kept, self.cells, self.added)
        )
        h, c = self.first[0].data[0], self.first[1].data[0]
        for t in range(self.steps):
            self.xp.multiply(h, cont[t][:, None], out=kept[t])
            self.step_product.forward(kept[t], w, None, added)
            gates = pre[t]
            gates += added
            self.unit.forward(c, gates, cont[t], cells[t], out[t])
            h, c = out[t], cells[t]
        self.last[0].data[0] = h
        self.last[1].data[0] = c

    def backward_steps(self, cont: Array, dy: Array) -> None:
        blob = self.blobs[self.own]
        pre, dpre, cells, dh, dc = self.pre.data, self.pre.diff, self.cells.data, self.dh.data, self.dc.data
        dh.fill(0)
        dc.fill(0)
        for t in reversed(range(self.steps)):
            dh += dy[t]
            before = cells[t - 1] if t else self.first[1].data[0]
            self.unit.backward(before, pre[t], cont[t], cells[t], dc, dh, dc, dpre[t])
            if t:
                self.step_product.backward_data(dpre[t], blob.data, dh)
                dh *= cont[t][:, None]
        if self.param_propagate_down[self.own]:
            kept = self.kept.data.reshape(-1, self.num_output)
            self.hidden_product.backward_filter(kept, dpre.reshape(-1, self.rows), blob.diff)
