"""Learned slopes on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import poisoned
from tests.gpu.twins import both, on

# The last one has several pieces a channel, not all of one length.
SHAPES = [(3, 5, 4), (1, 1, 1), (2, 3, 70), (0, 4, 2), (2, 2, 0), (5, 2, 2501)]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_twins(cpu, gpu, dtype, shared, shape):
    random = np.random.default_rng(2)
    x, dy = random.standard_normal(shape), random.standard_normal(shape)
    x.reshape(-1)[:1] = 0
    w = random.standard_normal(() if shared else shape[1:2])

    def run(backend):
        backend = poisoned(backend)
        op = backend.ops.PReLU(backend, shared)
        op.plan(shape)
        xs, dys, ws = on(backend, x), on(backend, dy), on(backend, w)
        y, dx, dw = backend.empty(shape), backend.empty(shape), on(backend, np.ones_like(w))
        op.forward(xs, ws, y)
        op.backward_data(xs, dys, ws, dx)
        for _ in range(2):
            op.backward_filter(xs, dys, dw)
        op.backward_data(xs, dys, ws, dys)
        op.forward(xs, ws, xs)
        return y, dx, dys, xs, dw

    (*ours, dw), (*theirs, dw2) = both(run, cpu, gpu)
    for name, a, b in zip(("y", "dx", "dx in place", "y in place"), ours, theirs, strict=True):
        np.testing.assert_array_equal(b, a, err_msg=name)
    near = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(dw2, dw, rtol=near, atol=100 * near)


def test_nan_stays_and_shows(cpu, gpu):
    x = np.array([[[np.nan, 1.0], [2.0, -3.0]]])

    def run(backend):
        op = backend.ops.PReLU(backend, False)
        op.plan(x.shape)
        xs, y, dw = on(backend, x), backend.empty(x.shape), backend.zeros((2,))
        op.forward(xs, backend.asarray(np.array([0.5, 0.25])), y)
        op.backward_filter(xs, xs, dw)
        return y, dw

    for a, b in zip(*both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a)
    assert np.isnan(b[0])
    assert b[1] == 9
