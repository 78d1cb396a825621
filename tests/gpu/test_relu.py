"""ReLU on the GPU against the CPU's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on


@pytest.mark.parametrize("slope", [0.0, 0.25])
@pytest.mark.parametrize("shape", [(1,), (3, 5, 7, 2), (4, 300), (0, 3)])
def test_twins(cpu, gpu, slope, shape):
    random = np.random.default_rng(1)
    x, dy = random.standard_normal(shape), random.standard_normal(shape)
    x.reshape(-1)[:1] = 0

    def run(backend):
        op = backend.ops.ReLU(backend, slope)
        op.plan(shape)
        xs, dys, y, dx = on(backend, x), on(backend, dy), backend.empty(shape), backend.empty(shape)
        op.forward(xs, y)
        op.backward(xs, dys, dx)
        op.forward(xs, xs)
        op.backward(xs, dys, dys)
        return y, dx, xs, dys

    for name, a, b in zip(("y", "dx", "y in place", "dx in place"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_nan_stays(cpu, gpu):
    x = np.array([np.nan, -np.inf, np.inf, -0.0])

    def run(backend):
        y = backend.empty((4,))
        backend.ops.ReLU(backend, 0.0).forward(backend.asarray(x), y)
        return (y,)

    (a,), (b,) = both(run, cpu, gpu)
    np.testing.assert_array_equal(a, b)
    assert np.isnan(b[0])
