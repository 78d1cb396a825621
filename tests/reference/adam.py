"""Adam, one weight at a time."""

import math

import numpy as np

from tests.reference.sgd import regularised


def adam(w, dw, m, v, bounds, rate, weight_decay, l1, scale, t, beta1, beta2, epsilon):
    """(w, dw, m, v) after update number ``t``, from 1; epsilon is where the end of the paper's section 2 has it."""
    w, dw, m, v = (array.astype(np.float64) for array in (w, dw, m, v))
    for i, lr_mult, gradient in regularised(w, dw, bounds, weight_decay, l1, scale):
        m[i] = beta1 * m[i] + (1 - beta1) * gradient
        v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
        alpha = rate * lr_mult * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        dw[i] = alpha * m[i] / (math.sqrt(v[i]) + epsilon)
        w[i] -= dw[i]
    return w, dw, m, v
