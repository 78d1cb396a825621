"""caffepy.cpu.lstm against the definition; where a sequence begins; what may be in place."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.lstm import lstm_unit, lstm_unit_gradient


def make(shape, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.LSTMUnit(backend)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    n, d = shape
    c_prev, dc, dh = (np.random.standard_normal(shape).astype(dtype) for _ in range(3))
    x = np.random.standard_normal((n, 4 * d)).astype(dtype)
    return c_prev, x, np.random.choice([0, 1, 0.5], n).astype(dtype), dc, dh


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 7)])
def test_definition(shape, dtype, threads):
    near = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    op = make(shape, dtype, threads)
    c_prev, x, cont, dc, dh = draw(shape, dtype)
    c, h, below = (np.full(shape, np.nan, dtype) for _ in range(3))
    dx = np.full(x.shape, np.nan, dtype)
    op.forward(c_prev, x, cont, c, h)
    for got, want in zip((c, h), lstm_unit(c_prev, x, cont), strict=True):
        np.testing.assert_allclose(got, want, **near)
    op.backward(c_prev, x, cont, c, dc, dh, below, dx)
    for got, want in zip((below, dx), lstm_unit_gradient(c_prev, x, cont, dc, dh), strict=True):
        np.testing.assert_allclose(got, want, **near)


def test_where_a_sequence_begins_nothing_before_counts():
    c_prev, x, cont, dc, dh = draw((2, 3))
    cont[:] = [0, 1]
    op = make((2, 3))
    results = []
    for factor in (1, 100):
        c, h, below, dx = (np.empty((2, 3 * k), np.float32) for k in (1, 1, 1, 4))
        op.forward(c_prev * factor, x, cont, c, h)
        op.backward(c_prev * factor, x, cont, c, dc, dh, below, dx)
        results.append((c, h, below, dx))
    for one, other in zip(*results, strict=True):
        assert (one[0] == other[0]).all()
        assert (one[1] != other[1]).any()
    assert (results[0][2][0] == 0).all()
    assert (results[0][3][0, 3:6] == 0).all()


def test_a_forget_gate_of_nan_is_shut_where_a_sequence_begins():
    c_prev, x, cont, *_ = draw((1, 1))
    x[0, 1], cont[0] = np.nan, 0
    c, h = np.empty((1, 1), np.float32), np.empty((1, 1), np.float32)
    make((1, 1)).forward(c_prev, x, cont, c, h)
    assert np.isfinite(h).all()


def test_in_place():
    c_prev, x, cont, dc, dh = draw((5, 3))
    op = make((5, 3))
    c, h, below, dx = (np.empty((5, 3 * k), np.float32) for k in (1, 1, 1, 4))
    op.forward(c_prev, x, cont, c, h)
    op.backward(c_prev, x, cont, c, dc, dh, below, dx)
    again = c_prev.copy()
    op.forward(again, x, cont, again, h)
    assert (again == c).all()
    op.backward(c_prev, x, cont, c, dc, dh, dc, x)
    assert (dc == below).all()
    assert (x == dx).all()


def test_large_gates_do_not_overflow():
    x = np.array([[1000, -1000, 1000, -1000]], np.float32)
    one = np.ones((1, 1), np.float32)
    c, h = np.empty((1, 1), np.float32), np.empty((1, 1), np.float32)
    make((1, 1)).forward(one, x, one, c, h)
    assert c == -1
    np.testing.assert_allclose(h, np.tanh(-1), rtol=1e-6)
