"""Local response normalisation, one number at a time, and its gradient by the product rule over every pair."""

import numpy as np


def across(place, shape, size):
    """The places of the ``size`` channels around one, at the same position."""
    n, c, h, w = place
    return [(n, j, h, w) for j in range(c - size // 2, c + size // 2 + 1) if 0 <= j < shape[1]]


def within(place, shape, size):
    """The ``size`` x ``size`` places around one in the same channel that lie in the image."""
    n, c, h, w = place
    half = size // 2
    return [
        (n, c, i, j)
        for i in range(h - half, h + half + 1)
        for j in range(w - half, w + half + 1)
        if 0 <= i < shape[2] and 0 <= j < shape[3]
    ]


def lrn(x, region, size, alpha, beta, k):
    """y = x / s^beta, s = k + alpha * (sum of x^2 over the region); alpha is divided by the region's size already."""
    y = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        s = k
        for other in region(place, x.shape, size):
            s += alpha * x[other] ** 2
        y[place] = x[place] * s**-beta
    return y


def lrn_gradient(x, dy, region, size, alpha, beta, k):
    """dx: y of each place depends on x of its own and, through s, on x of all places around."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        around = region(place, x.shape, size)
        s = k + sum(alpha * x[other] ** 2 for other in around)
        dx[place] += dy[place] * s**-beta
        for other in around:
            dx[other] += dy[place] * x[place] * -beta * s ** (-beta - 1) * 2 * alpha * x[other]
    return dx
