"""A time step of an LSTM on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on


@pytest.mark.parametrize(("n", "d"), [(3, 5), (1, 1), (4, 100), (0, 3)])
def test_twins(cpu, gpu, dtype, n, d):
    random = np.random.default_rng(7)
    c_prev, dc, dh = random.standard_normal((3, n, d))
    x = 3 * random.standard_normal((n, 4 * d))
    cont = np.resize([1.0, 0.0, 0.5], n)

    def run(backend):
        op = backend.ops.LSTMUnit(backend)
        op.plan((n, d))
        args = [on(backend, values) for values in (c_prev, x, cont)]
        c, h, below, dx = (backend.empty(shape) for shape in ((n, d), (n, d), (n, d), (n, 4 * d)))
        op.forward(*args, c, h)
        above = on(backend, dc), on(backend, dh)
        op.backward(*args, c, *above, below, dx)
        before, gates = on(backend, c_prev), on(backend, x)
        op.backward(before, gates, args[2], c, *above, above[0], gates)
        op.forward(before, args[1], args[2], before, above[1])
        return c, h, below, dx, above[0], gates, before, above[1]

    near = 1e-5 if dtype == "float32" else 1e-12
    ours, theirs = both(run, cpu, gpu)
    for name, a, b in zip(("c", "h", "dc_prev", "dx"), ours, theirs, strict=False):
        np.testing.assert_allclose(b, a, rtol=near, atol=near, err_msg=name)
    for name, apart, placed in zip(("dc_prev", "dx", "c", "h"), (2, 3, 0, 1), (4, 5, 6, 7), strict=True):
        np.testing.assert_array_equal(theirs[placed], theirs[apart], err_msg=f"{name} in place")


def test_gates_that_are_wide_open_or_shut(cpu, gpu):
    x = np.array([[1e4, -1e4, 1e4, -1e4]])

    def run(backend):
        op = backend.ops.LSTMUnit(backend)
        op.plan((1, 1))
        c, h = backend.empty((1, 1)), backend.empty((1, 1))
        op.forward(backend.asarray(np.ones((1, 1))), backend.asarray(x), backend.asarray(np.ones(1)), c, h)
        return c, h

    with np.errstate(over="ignore"):
        for a, b in zip(*both(run, cpu, gpu), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6)
    assert b.item() == pytest.approx(-np.tanh(1), rel=1e-6)
