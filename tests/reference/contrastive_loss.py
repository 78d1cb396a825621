"""Contrastive loss and its gradient, one pair at a time; the gradient as Caffe has it, with 0.0001 in the divisor."""

import math

import numpy as np


def _distance(a, b, n):
    return math.sqrt(sum((float(p) - float(q)) ** 2 for p, q in zip(a[n].flat, b[n].flat, strict=True)))


def contrastive_loss(a, b, alike, margin, legacy):
    total = 0.0
    for n in range(len(a)):
        d = _distance(a, b, n)
        if int(alike.flat[n]) != 0:
            total += d**2
        elif legacy:
            total += max(margin - d**2, 0.0)
        else:
            total += max(margin - d, 0.0) ** 2
    return total / 2 / len(a)


def contrastive_loss_gradient(a, b, alike, margin, legacy):
    """That of a; b's is its negative."""
    da = np.zeros(a.shape)
    for n in range(len(a)):
        d = _distance(a, b, n)
        if int(alike.flat[n]) != 0:
            factor = 1.0
        elif legacy:
            factor = -1.0 if margin > d**2 else 0.0
        else:
            factor = -(margin - d) / (d + 1e-4) if margin > d else 0.0
        da[n] = factor * (a[n] - b[n]) / len(a)
    return da
