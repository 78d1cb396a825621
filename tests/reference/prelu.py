"""Rectification with a slope for each channel, one number at a time."""

import numpy as np


def _slope(w, place):
    return w[0] if w.size == 1 else w[place[1]]


def prelu(x, w):
    """y of x (N, C, ...), w flat: one slope, or one for each channel."""
    y = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        y[place] = max(x[place], 0.0) + _slope(w, place) * min(x[place], 0.0)
    return y


def prelu_gradients(x, dy, w):
    """(dx, dw); at 0 the slope is that from below."""
    dx, dw = np.empty(x.shape), np.zeros(w.shape)
    for place in np.ndindex(x.shape):
        if x[place] > 0:
            dx[place] = dy[place]
        else:
            dx[place] = _slope(w, place) * dy[place]
            dw[0 if w.size == 1 else place[1]] += x[place] * dy[place]
    return dx, dw
