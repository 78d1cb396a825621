"""Nesterov's accelerated gradient, one weight at a time."""

import numpy as np

from tests.reference.sgd import regularised


def nesterov(w, dw, history, bounds, rate, weight_decay, l1, scale, momentum):
    """(w, dw, history) after one update: back to where the last step began, then over the new one and on."""
    w, dw, history = w.astype(np.float64), dw.astype(np.float64), history.astype(np.float64)
    for i, lr_mult, gradient in regularised(w, dw, bounds, weight_decay, l1, scale):
        push = rate * lr_mult * gradient
        old, history[i] = history[i], momentum * history[i] + push
        dw[i] = (1 + momentum) * history[i] - momentum * old
        w[i] -= dw[i]
    return w, dw, history
