"""Multinomial logistic loss, one label at a time."""

import math

import numpy as np

FLT_MIN = 2.0**-126


def softmax_loss(prob, label, ignore_label=None):
    """(sum of losses, number of labels) of prob (outer, classes, inner) and label (outer, inner)."""
    total, counted = 0.0, 0
    for n in range(label.shape[0]):
        for i in range(label.shape[1]):
            k = int(label[n, i])
            if k == ignore_label:
                continue
            total -= math.log(max(float(prob[n, k, i]), FLT_MIN))
            counted += 1
    return total, counted


def softmax_loss_gradient(prob, label, scale, ignore_label=None):
    dx = np.zeros(prob.shape)
    for n, c, i in np.ndindex(prob.shape):
        k = int(label[n, i])
        if k != ignore_label:
            dx[n, c, i] = scale * (prob[n, c, i] - (1 if c == k else 0))
    return dx
