"""Leaky rectification, one number at a time."""

import numpy as np


def relu(x, slope):
    y = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        value = float(x[place])
        y[place] = max(value, 0.0) + slope * min(value, 0.0)
    return y


def relu_gradient(x, dy, slope):
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        dx[place] = dy[place] * (1.0 if x[place] > 0 else slope)
    return dx
