"""A simple recurrent layer, one time step at a time."""

import numpy as np


def rnn(x, cont, static, blobs, h):
    """(all o, last h); x (T, N, ...), cont (T, N), static (N, ...) or None; blobs as Caffe orders them."""
    w_x, b_h, *w_static, w_h, w_o, b_o = blobs
    every = []
    for t in range(len(x)):
        total = x[t].reshape(len(h), -1) @ w_x.T + b_h + (cont[t][:, None] * h) @ w_h.T
        if static is not None:
            total = total + static.reshape(len(h), -1) @ w_static[0].T
        h = np.tanh(total)
        every.append(np.tanh(h @ w_o.T + b_o))
    return np.stack(every), h
