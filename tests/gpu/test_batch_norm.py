"""Batch normalisation on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import poisoned
from tests.gpu.twins import both, on

# The last one has several pieces a channel, not all of one length.
SHAPES = [(3, 5, 4), (1, 2, 1), (40, 7, 1), (2, 3, 70), (5, 2, 2501)]
NAMES = ("y", "mean", "var", "dx", "y in place", "dx in place")


def passes(shape, global_stats, x, dy):
    random = np.random.default_rng(6)
    given = random.standard_normal(shape[1]), random.uniform(0.5, 2, shape[1])

    def run(backend):
        backend = poisoned(backend)
        op = backend.ops.BatchNorm(backend, 1e-3)
        op.plan(shape, global_stats)
        xs, dys, y, dx = on(backend, x), on(backend, dy), backend.empty(shape), backend.empty(shape)
        mean, var = (on(backend, values) for values in given)
        forward, backward = (op.forward_global, op.backward_global) if global_stats else (op.forward, op.backward)
        forward(xs, mean, var, y)
        backward(dys, dx)
        forward(xs, mean, var, xs)
        backward(dys, dys)
        return y, mean, var, dx, xs, dys

    return run


@pytest.mark.parametrize("global_stats", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_twins(cpu, gpu, dtype, shape, global_stats):
    random = np.random.default_rng(5)
    # Far from zero, where squares less the square of the mean would be wrong.
    x, dy = 1000 + random.standard_normal(shape), random.standard_normal(shape)
    near = 1e-5 if dtype == "float32" else 1e-11
    for name, a, b in zip(NAMES, *both(passes(shape, global_stats, x, dy), cpu, gpu), strict=True):
        np.testing.assert_allclose(b, a, rtol=near, atol=near, err_msg=name)


@pytest.mark.parametrize("global_stats", [False, True])
def test_a_batch_of_nothing(gpu, global_stats):
    nothing = np.empty((0, 3, 4))
    y, mean, var, dx, *_ = both(passes((0, 3, 4), global_stats, nothing, nothing), gpu)[0]
    assert y.shape == dx.shape == (0, 3, 4)
    assert np.isfinite(mean).all()
    assert np.isfinite(var).all()


def test_nan_stays_in_its_channel(cpu, gpu):
    x = np.arange(24.0).reshape(2, 3, 4)
    x[0, 1, 2] = np.nan
    for a, b in zip(*both(passes(x.shape, False, x, x), cpu, gpu), strict=True):
        np.testing.assert_array_equal(np.isnan(b), np.isnan(a))
    y = both(passes(x.shape, False, x, x), gpu)[0][0]
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(y[:, ::2]).all()
