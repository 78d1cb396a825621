"""Convolution from its definition: one output channel, one position and one tap at a time."""

import numpy as np


def _walk(x_shape, w_shape, output, stride, pad, dilation, group):
    """Every (m, channels that m sees, position, tap, place in x) for which the place is inside the image."""
    num_output, depth, *kernel = w_shape
    for m in range(num_output):
        first = m // (num_output // group) * depth
        for p in np.ndindex(*output):
            for k in np.ndindex(*kernel):
                place = tuple(p[a] * stride[a] - pad[a] + k[a] * dilation[a] for a in range(len(kernel)))
                if all(0 <= place[a] < x_shape[2 + a] for a in range(len(kernel))):
                    yield m, slice(first, first + depth), p, k, place


def output_size(size, kernel, stride, pad, dilation):
    """How many positions one axis has; a division of integers as C has it, towards zero."""
    return int((size + 2 * pad - (dilation * (kernel - 1) + 1)) / stride) + 1


def conv(x, w, b, stride, pad, dilation, group):
    """y (N, num_output, *output) of x (N, C, *spatial), w (num_output, C / group, *kernel), b (num_output,) or None."""
    output = [output_size(*each) for each in zip(x.shape[2:], w.shape[2:], stride, pad, dilation, strict=True)]
    y = np.zeros((len(x), len(w), *output))
    for m, channels, p, k, place in _walk(x.shape, w.shape, output, stride, pad, dilation, group):
        for n in range(len(x)):
            y[(n, m, *p)] += np.dot(x[(n, channels, *place)], w[(m, slice(None), *k)])
    for m in range(len(w)):
        y[:, m] += 0.0 if b is None else b[m]
    return y


def conv_gradients(x, w, dy, stride, pad, dilation, group):
    """(dx, dw, db): each product of `conv` sends dy back to its two factors."""
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for m, channels, p, k, place in _walk(x.shape, w.shape, dy.shape[2:], stride, pad, dilation, group):
        for n in range(len(x)):
            dx[(n, channels, *place)] += dy[(n, m, *p)] * w[(m, slice(None), *k)]
            dw[(m, slice(None), *k)] += dy[(n, m, *p)] * x[(n, channels, *place)]
    db = np.array([dy[:, m].sum() for m in range(len(w))])
    return dx, dw, db
