"""Softmax over the middle axis of (outer, classes, inner), one column at a time."""

import math

import numpy as np


def softmax(x):
    outer, classes, inner = x.shape
    y = np.empty(x.shape)
    for n in range(outer):
        for i in range(inner):
            largest = max(float(x[n, c, i]) for c in range(classes))
            total = sum(math.exp(float(x[n, c, i]) - largest) for c in range(classes))
            for c in range(classes):
                y[n, c, i] = math.exp(float(x[n, c, i]) - largest) / total
    return y


def softmax_gradient(y, dy):
    """By the whole Jacobian, dy[k]/dx[c] = y[k] * ((k == c) - y[c])."""
    outer, classes, inner = y.shape
    dx = np.zeros(y.shape)
    for n in range(outer):
        for i in range(inner):
            for c in range(classes):
                for k in range(classes):
                    dx[n, c, i] += dy[n, k, i] * y[n, k, i] * ((k == c) - y[n, c, i])
    return dx
