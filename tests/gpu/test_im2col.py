"""Images in columns on the GPU: the CPU's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on
from tests.reference.im2col import output_shape

# spatial shape; kernel, stride, pad, dilation
WINDOWS = [
    ((9,), ((3,), (2,), (1,), (2,))),
    ((6, 7), ((3, 2), (2, 1), (1, 0), (1, 2))),
    ((3, 3), ((4, 4), (2, 2), (0, 0), (1, 1))),
    ((5, 6), ((1, 2), (3, 3), (2, 2), (1, 1))),
    ((20, 19), ((3, 3), (1, 1), (1, 1), (1, 1))),
    ((4, 3, 5), ((2, 1, 3), (1, 2, 2), (0, 1, 1), (2, 1, 1))),
    ((2, 3, 2, 3), ((2, 1, 2, 2), (1, 2, 1, 2), (1, 0, 0, 1), (1, 1, 1, 2))),
]


@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize(("space", "window"), WINDOWS)
def test_twins(cpu, gpu, space, window, images):
    random = np.random.default_rng(2)
    shape = (images, 2, *space)
    y_shape = output_shape(shape, *window)
    x, dy = random.standard_normal(shape), random.standard_normal(y_shape)

    def run(backend):
        op = backend.ops.Im2col(backend, *window)
        for n in (images + 2, images):
            op.plan((n, *shape[1:]), (n, *y_shape[1:]))
        y, dx = on(backend, np.full(y_shape, np.nan)), on(backend, np.full(shape, np.nan))
        op.forward(on(backend, x), y)
        op.backward(on(backend, dy), dx)
        return y, dx

    for name, a, b in zip(("y", "dx"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_no_place_is_left_out_where_there_are_more_rows_than_the_grid_has(cpu, gpu):
    # 3 channels and 400 taps: 1,200 rows of columns.
    window = (20, 20), (1, 1), (0, 0), (1, 1)
    x = np.random.default_rng(3).standard_normal((1, 3, 21, 20))

    def run(backend):
        op = backend.ops.Im2col(backend, *window)
        op.plan(x.shape, (1, 1200, 2, 1))
        y, dx = on(backend, np.full((1, 1200, 2, 1), np.nan)), on(backend, np.full(x.shape, np.nan))
        op.forward(on(backend, x), y)
        op.backward(y, dx)
        return y, dx

    for a, b in zip(*both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(a, b)
