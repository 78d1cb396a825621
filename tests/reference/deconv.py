"""Deconvolution from its definition: every value of x spread by every tap."""

import numpy as np


def deconv(x, w, b, stride, pad, dilation, group):
    """y (N, num_output, *output) of x (N, C, *spatial), w (C, num_output / group, *kernel), b (num_output,) or None."""
    channels, each, *kernel = w.shape
    output = [
        s * (size - 1) + d * (k - 1) + 1 - 2 * p
        for size, k, s, p, d in zip(x.shape[2:], kernel, stride, pad, dilation, strict=True)
    ]
    y = np.zeros((len(x), each * group, *output))
    for n, c in np.ndindex(len(x), channels):
        first = c // (channels // group) * each
        for p in np.ndindex(*x.shape[2:]):
            for k in np.ndindex(*kernel):
                place = tuple(p[a] * stride[a] - pad[a] + k[a] * dilation[a] for a in range(len(kernel)))
                if all(0 <= place[a] < output[a] for a in range(len(kernel))):
                    for m in range(each):
                        y[(n, first + m, *place)] += x[(n, c, *p)] * w[(c, m, *k)]
    for m in range(each * group):
        y[:, m] += 0.0 if b is None else b[m]
    return y
