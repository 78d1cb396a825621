"""Half the mean squared distance, one element at a time."""

import numpy as np


def euclidean_loss(x0, x1):
    total = 0.0
    for index in np.ndindex(x0.shape):
        total += (x0[index] - x1.reshape(x0.shape)[index]) ** 2
    return total / 2 / len(x0)
