"""AdaDelta, one weight at a time."""

import math

import numpy as np

from tests.reference.sgd import regularised


def adadelta(w, dw, gradients, steps, bounds, rate, weight_decay, l1, scale, momentum, delta):
    """(w, dw, gradients, steps) after one update."""
    w, dw, gradients, steps = (array.astype(np.float64) for array in (w, dw, gradients, steps))
    for i, lr_mult, gradient in regularised(w, dw, bounds, weight_decay, l1, scale):
        gradients[i] = momentum * gradients[i] + (1 - momentum) * gradient**2
        step = math.sqrt(steps[i] + delta) / math.sqrt(gradients[i] + delta) * gradient
        steps[i] = momentum * steps[i] + (1 - momentum) * step**2
        dw[i] = rate * lr_mult * step
        w[i] -= dw[i]
    return w, dw, gradients, steps
