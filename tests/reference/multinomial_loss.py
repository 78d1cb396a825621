"""Multinomial logistic loss of probabilities, one label at a time."""

import math

import numpy as np


def multinomial_loss(prob, label):
    """The sum over prob (N, classes)."""
    return -sum(math.log(max(float(prob[n, int(label[n])]), 1e-20)) for n in range(len(prob)))


def multinomial_loss_gradient(prob, label, scale):
    dx = np.zeros(prob.shape)
    for n in range(len(prob)):
        dx[n, int(label[n])] = -scale / max(float(prob[n, int(label[n])]), 1e-20)
    return dx
