"""Cross-entropy of sigmoids, one target at a time, from the definition."""

import math

import numpy as np


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def sigmoid_cross_entropy_loss(x, target, ignore_label=None):
    """(sum of losses, number of targets)."""
    total, counted = 0.0, 0
    for score, t in zip(x.flat, target.flat, strict=True):
        if ignore_label is not None and int(t) == ignore_label:
            continue
        total -= t * math.log(sigmoid(score)) + (1 - t) * math.log(sigmoid(-score))
        counted += 1
    return total, counted


def sigmoid_cross_entropy_loss_gradient(x, target, scale, ignore_label=None):
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        if ignore_label is None or int(target[index]) != ignore_label:
            dx[index] = scale * (sigmoid(x[index]) - target[index])
    return dx
