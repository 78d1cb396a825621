"""Dropout, one unit at a time."""

import numpy as np

from tests.reference.philox import word


def dropout(x, ratio, key, step):
    y = np.zeros(x.size)
    for i, value in enumerate(x.reshape(-1)):
        if word(key, step, i) >= ratio * 2**32:
            y[i] = value / (1 - ratio)
    return y.reshape(x.shape)
