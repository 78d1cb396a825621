"""Infogain loss, one label and one class at a time."""

import math

import numpy as np


def infogain_loss(prob, label, h, ignore_label=None):
    """(sum of losses, number of labels) of prob (outer, classes, inner), label (outer, inner), h (classes, classes)."""
    total, counted = 0.0, 0
    for n, i in np.ndindex(label.shape):
        k = int(label[n, i])
        if k == ignore_label:
            continue
        counted += 1
        for c in range(prob.shape[1]):
            total -= h[k, c] * math.log(max(float(prob[n, c, i]), 1e-20))
    return total, counted


def infogain_loss_gradient(prob, label, h, scale, ignore_label=None):
    """With respect to the scores that softmax took: its own derivative times that of each logarithm."""
    dx = np.zeros(prob.shape)
    for n, i in np.ndindex(label.shape):
        k = int(label[n, i])
        if k == ignore_label:
            continue
        for c in range(prob.shape[1]):
            for other in range(prob.shape[1]):
                dx[n, other, i] -= scale * h[k, c] * ((1 if other == c else 0) - prob[n, other, i])
    return dx
