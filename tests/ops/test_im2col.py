"""caffepy.cpu.im2col against the definition; what lies where in one image is tests/ops/test_unfold.py's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.im2col import col2im, im2col, output_shape

# spatial shape; kernel, stride, pad, dilation
WINDOWS = [
    ((9,), ((3,), (2,), (1,), (2,))),
    ((6, 7), ((3, 2), (2, 1), (1, 0), (1, 2))),
    ((3, 3), ((4, 4), (2, 2), (0, 0), (1, 1))),
    ((4, 3, 5), ((2, 1, 3), (1, 2, 2), (0, 1, 1), (2, 1, 1))),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize(("space", "window"), WINDOWS)
def test_definition(space, window, images, dtype):
    backend = get_backend("cpu", dtype, 2)
    op = backend.ops.Im2col(backend, *window)
    for n in (images, images + 2):
        shape = (n, 2, *space)
        y_shape = output_shape(shape, *window)
        op.plan(shape, y_shape)
        x, dy = np.random.standard_normal(shape).astype(dtype), np.random.standard_normal(y_shape).astype(dtype)
        y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
        op.forward(x, y)
        op.backward(dy, dx)
        assert (y == im2col(x, *window)).all()
        np.testing.assert_allclose(dx, col2im(dy, shape, *window), rtol=1e-5, atol=1e-6)
