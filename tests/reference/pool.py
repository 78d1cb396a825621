"""Pooling, one window at a time."""

import math

import numpy as np

LOWEST = -float(np.finfo(np.float32).max)


def output_size(size, kernel, stride, pad, ceil, padded):
    """Caffe's rule for one axis; ``padded``: whether either axis has padding."""
    pooled = (math.ceil if ceil else math.floor)((size + 2 * pad - kernel) / stride) + 1
    if padded and (pooled - 1) * stride >= size + pad:
        pooled -= 1
    return pooled


def output_shape(shape, kernel, stride, pad, ceil=True):
    """(N, C, h, w) of x (N, C, H, W)."""
    sizes = zip(shape[2:], kernel, stride, pad, strict=True)
    return (*shape[:2], *(output_size(*each, ceil, any(pad)) for each in sizes))


def window(place, kernel, stride, pad, shape):
    """The places (row, column) of a window that lie in the image, row by row."""
    rows = range(place[0] * stride[0] - pad[0], place[0] * stride[0] - pad[0] + kernel[0])
    columns = range(place[1] * stride[1] - pad[1], place[1] * stride[1] - pad[1] + kernel[1])
    return [(i, j) for i in rows for j in columns if 0 <= i < shape[2] and 0 <= j < shape[3]]


def divisor(place, kernel, stride, pad, shape):
    """Caffe's size of a window: what is left of it within the padded image."""
    size = 1
    for a in range(2):
        begin = place[a] * stride[a] - pad[a]
        size *= min(begin + kernel[a], shape[2 + a] + pad[a]) - begin
    return size


def max_pool(x, y_shape, kernel, stride, pad):
    """(y, index of each maximum in its plane); -FLT_MAX and -1 where nothing in the window is greater than -FLT_MAX."""
    y, index = np.full(y_shape, LOWEST), np.full(y_shape, -1)
    for n, c, h, w in np.ndindex(*y_shape):
        for i, j in window((h, w), kernel, stride, pad, x.shape):
            if x[n, c, i, j] > y[n, c, h, w]:
                y[n, c, h, w] = x[n, c, i, j]
                index[n, c, h, w] = i * x.shape[3] + j
    return y, index


def max_pool_gradient(x_shape, dy, index):
    """dx: each dy goes to the place of the maximum."""
    dx = np.zeros(x_shape)
    for n, c, h, w in np.ndindex(dy.shape):
        if index[n, c, h, w] >= 0:
            row, column = divmod(index[n, c, h, w], x_shape[3])
            dx[n, c, row, column] += dy[n, c, h, w]
    return dx


def ave_pool(x, y_shape, kernel, stride, pad):
    """The sum of each window by its divisor; 0 / 0 where the window begins where the image ends."""
    y = np.zeros(y_shape)
    for n, c, h, w in np.ndindex(*y_shape):
        for i, j in window((h, w), kernel, stride, pad, x.shape):
            y[n, c, h, w] += x[n, c, i, j]
        size = divisor((h, w), kernel, stride, pad, x.shape)
        y[n, c, h, w] = y[n, c, h, w] / size if size else np.nan
    return y


def ave_pool_gradient(x_shape, dy, kernel, stride, pad):
    """dx: each dy is shared out over its window."""
    dx = np.zeros(x_shape)
    for n, c, h, w in np.ndindex(dy.shape):
        for i, j in window((h, w), kernel, stride, pad, x_shape):
            dx[n, c, i, j] += dy[n, c, h, w] / divisor((h, w), kernel, stride, pad, x_shape)
    return dx


def stochastic_pool(x, y_shape, kernel, stride, uniform):
    """(y, index drawn): the first value at which the running sum exceeds ``uniform`` of the sum."""
    y, index = np.zeros(y_shape), np.zeros(y_shape, int)
    for count, (n, c, h, w) in enumerate(np.ndindex(*y_shape)):
        places = window((h, w), kernel, stride, (0, 0), x.shape)
        if not places:
            index[n, c, h, w] = -1
            continue
        values = [x[n, c, i, j] for i, j in places]
        chosen, so_far = 0, 0.0
        for k, value in enumerate(values):
            so_far += value
            if so_far > uniform[count] * sum(values):
                chosen = k
                break
        y[n, c, h, w] = values[chosen]
        index[n, c, h, w] = places[chosen][0] * x.shape[3] + places[chosen][1]
    return y, index


def expected_pool(x, y_shape, kernel, stride):
    """The mean of `stochastic_pool`: sum of x^2 / sum of x; 0 where all are 0."""
    y = np.zeros(y_shape)
    for n, c, h, w in np.ndindex(*y_shape):
        values = [x[n, c, i, j] for i, j in window((h, w), kernel, stride, (0, 0), x.shape)]
        y[n, c, h, w] = sum(v * v for v in values) / sum(values) if sum(values) > 0 else 0.0
    return y
