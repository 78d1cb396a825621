"""Hinge loss, one score at a time."""

import numpy as np


def _term(x, label, n, c):
    sign = -1 if c == int(label[n]) else 1
    return sign, max(0.0, 1 + sign * float(x[n, c]))


def hinge_loss(x, label, power):
    """The sum over x (N, classes)."""
    return sum(_term(x, label, n, c)[1] ** power for n, c in np.ndindex(x.shape))


def hinge_loss_gradient(x, label, power, scale):
    dx = np.zeros(x.shape)
    for n, c in np.ndindex(x.shape):
        sign, term = _term(x, label, n, c)
        if term > 0:
            dx[n, c] = scale * sign * (1 if power == 1 else 2 * term)
    return dx
