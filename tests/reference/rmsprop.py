"""RMSProp, one weight at a time."""

import math

import numpy as np

from tests.reference.sgd import regularised


def rmsprop(w, dw, history, bounds, rate, weight_decay, l1, scale, rms_decay, delta):
    """(w, dw, history) after one update."""
    w, dw, history = w.astype(np.float64), dw.astype(np.float64), history.astype(np.float64)
    for i, lr_mult, gradient in regularised(w, dw, bounds, weight_decay, l1, scale):
        history[i] = rms_decay * history[i] + (1 - rms_decay) * gradient**2
        dw[i] = rate * lr_mult * gradient / (math.sqrt(history[i]) + delta)
        w[i] -= dw[i]
    return w, dw, history
