"""Recurrent layers, one stream, one time step and one unit at a time; gates in Caffe's order i, f, o, g."""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def lstm_unit(c_prev, x, cont):
    """(c, h) of c_prev (N, D), x (N, 4 D), cont (N,)."""
    c, h = np.zeros(c_prev.shape), np.zeros(c_prev.shape)
    size = c_prev.shape[1]
    for n, d in np.ndindex(c_prev.shape):
        i, f, o, g = (x[n, k * size + d] for k in range(4))
        c[n, d] = cont[n] * sigmoid(f) * c_prev[n, d] + sigmoid(i) * math.tanh(g)
        h[n, d] = sigmoid(o) * math.tanh(c[n, d])
    return c, h


def lstm_unit_gradient(c_prev, x, cont, dc, dh):
    """(dc_prev, dx) as Caffe has them: the forget gate's input by f (1 - f) with cont in f."""
    c, _ = lstm_unit(c_prev, x, cont)
    below, dx = np.zeros(c_prev.shape), np.zeros(x.shape)
    size = c_prev.shape[1]
    for n, d in np.ndindex(c_prev.shape):
        i, f, o = (sigmoid(x[n, k * size + d]) for k in range(3))
        f *= cont[n]
        g = math.tanh(x[n, 3 * size + d])
        into_c = dc[n, d] + dh[n, d] * o * (1 - math.tanh(c[n, d]) ** 2)
        below[n, d] = into_c * f
        dx[n, d] = into_c * g * i * (1 - i)
        dx[n, size + d] = into_c * c_prev[n, d] * f * (1 - f)
        dx[n, 2 * size + d] = dh[n, d] * math.tanh(c[n, d]) * o * (1 - o)
        dx[n, 3 * size + d] = into_c * i * (1 - g * g)
    return below, dx


def lstm(x, cont, static, blobs, h, c):
    """(all h, last h, last c); x (T, N, ...), cont (T, N), static (N, ...) or None; blobs as Caffe orders them."""
    w_x, b, *w_static, w_h = blobs
    every = []
    for t in range(len(x)):
        gates = x[t].reshape(len(h), -1) @ w_x.T + b + (cont[t][:, None] * h) @ w_h.T
        if static is not None:
            gates = gates + static.reshape(len(h), -1) @ w_static[0].T
        c, h = lstm_unit(c, gates, cont[t])
        every.append(h)
    return np.stack(every), h, c
