"""Gradient descent with momentum, one weight at a time."""

import numpy as np


def regularised(w, dw, bounds, weight_decay, l1, scale):
    """(index, lr_mult, gradient with its penalty) of each weight in ``bounds``, read when it is its turn."""
    for begin, end, lr_mult, decay_mult in bounds:
        for i in range(begin, end):
            penalty = ((w[i] > 0) * 1.0 - (w[i] < 0) * 1.0) if l1 else w[i]
            yield i, lr_mult, scale * dw[i] + weight_decay * decay_mult * penalty


def sgd(w, dw, history, bounds, rate, weight_decay, l1, scale, momentum):
    """(w, dw, history) after one update."""
    w, dw, history = w.astype(np.float64), dw.astype(np.float64), history.astype(np.float64)
    for i, lr_mult, gradient in regularised(w, dw, bounds, weight_decay, l1, scale):
        history[i] = momentum * history[i] + rate * lr_mult * gradient
        w[i] -= history[i]
        dw[i] = history[i]
    return w, dw, history
