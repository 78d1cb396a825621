"""Images in columns, from the definition: one tap and one place at a time."""

import math

import numpy as np

from tests.reference.conv import output_size


def output_shape(shape, kernel, stride, pad, dilation):
    output = [output_size(*each) for each in zip(shape[2:], kernel, stride, pad, dilation, strict=True)]
    return (shape[0], shape[1] * math.prod(kernel), *output)


def _walk(shape, kernel, stride, pad, dilation):
    """(place in y behind the image's number, place in x likewise) where the latter is inside."""
    output = output_shape(shape, kernel, stride, pad, dilation)[2:]
    for row, (c, *tap) in enumerate(np.ndindex(shape[1], *kernel)):
        for p in np.ndindex(*output):
            place = [p[a] * stride[a] - pad[a] + tap[a] * dilation[a] for a in range(len(kernel))]
            if all(0 <= i < size for i, size in zip(place, shape[2:], strict=True)):
                yield (row, *p), (c, *place)


def im2col(x, kernel, stride, pad, dilation):
    """y (N, C * prod(kernel), *output) of x (N, C, *spatial); 0 outside the image."""
    y = np.zeros(output_shape(x.shape, kernel, stride, pad, dilation), x.dtype)
    for there, here in _walk(x.shape, kernel, stride, pad, dilation):
        y[(slice(None), *there)] = x[(slice(None), *here)]
    return y


def col2im(dy, shape, kernel, stride, pad, dilation):
    """dx, of ``shape``: each element of dy goes back to where it came from."""
    dx = np.zeros(shape)
    for there, here in _walk(shape, kernel, stride, pad, dilation):
        dx[(slice(None), *here)] += dy[(slice(None), *there)]
    return dx
