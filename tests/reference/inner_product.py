"""The fully connected layer, one product at a time."""

import numpy as np


def inner_product(x, w, b, transpose):
    """y[i, n] = sum over k of x[i, k] w[n, k], plus b[n]; w[k, n] where ``transpose``."""
    rows, inputs = x.shape
    outputs = w.shape[1] if transpose else w.shape[0]
    y = np.zeros((rows, outputs))
    for i in range(rows):
        for n in range(outputs):
            for k in range(inputs):
                y[i, n] += x[i, k] * (w[k, n] if transpose else w[n, k])
            y[i, n] += 0.0 if b is None else b[n]
    return y


def inner_product_gradients(x, w, dy, transpose):
    """(dx, dw, db): each product of `inner_product` sends dy back to its two factors."""
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(dy.shape[1])
    for i in range(len(x)):
        for n in range(dy.shape[1]):
            db[n] += dy[i, n]
            for k in range(x.shape[1]):
                place = (k, n) if transpose else (n, k)
                dx[i, k] += dy[i, n] * w[place]
                dw[place] += dy[i, n] * x[i, k]
    return dx, dw, db
