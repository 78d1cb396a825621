"""Softmax on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import tolerance
from caffepy.testing.compare import assert_close
from tests.gpu.twins import both, on


def _run(shape, x, dy):
    def run(backend):
        op = backend.ops.Softmax(backend)
        op.plan(shape)
        xs, dys, y, dx = on(backend, x), on(backend, dy), backend.empty(shape), backend.empty(shape)
        op.forward(xs, y)
        op.backward(y, dys, dx)
        op.forward(xs, xs)
        op.backward(xs, dys, dys)
        return y, dx, xs, dys

    return run


@pytest.mark.parametrize("shape", [(3, 70, 1), (1, 1, 1), (2, 5, 7), (300, 2, 2), (0, 4, 1), (0, 4, 3), (2, 3, 0)])
def test_twins(cpu, gpu, shape):
    random = np.random.default_rng(1)
    x, dy = 10 * random.standard_normal(shape), random.standard_normal(shape)
    near = tolerance("sum", cpu.dtype)
    for name, a, b in zip(("y", "dx", "y in place", "dx in place"), *both(_run(shape, x, dy), cpu, gpu), strict=True):
        assert_close(b, a, near, name)


@pytest.mark.parametrize("inner", [1, 2])
def test_large_scores_and_nan(cpu, gpu, inner):
    x = np.zeros((4, 40, inner))
    x[0, 39] = x[0, 0] = 1e30
    x[1, 35] = np.nan
    x[2, 0] = np.nan
    x[3] = -np.inf
    (a, *_), (b, *_) = both(_run(x.shape, x, x), cpu, gpu)
    np.testing.assert_array_equal(a, b)
    assert (b[0, 39] == 0.5).all()
    assert np.isnan(b[1:]).all()
