"""caffepy.cpu.prelu against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.prelu import prelu, prelu_gradients


def make(shape, shared=False, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.PReLU(backend, shared)
    op.plan(shape)
    return op


def draw(shape, channels, dtype="float32"):
    x, dy = (np.random.standard_normal(shape).astype(dtype) for _ in range(2))
    return x, dy, np.random.standard_normal(channels).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 20), (5, 4, 1), (1, 7, 33), (3, 1, 5)])
def test_definition(shape, shared, dtype):
    x, dy, w = draw(shape, () if shared else shape[1], dtype)
    op = make(shape, shared, dtype, 2)
    y, dx, dw = np.full_like(x, np.nan), np.full_like(x, np.nan), np.full_like(w, 3)
    op.forward(x, w, y)
    op.backward_data(x, dy, w, dx)
    op.backward_filter(x, dy, dw)
    near = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(y, prelu(x, w.reshape(-1)), rtol=near)
    want_dx, want_dw = prelu_gradients(x, dy, w.reshape(-1))
    np.testing.assert_allclose(dx, want_dx, rtol=near)
    np.testing.assert_allclose(dw.reshape(-1), 3 + want_dw, rtol=near, atol=near)


def test_in_place():
    x, dy, w = draw((2, 5, 30), 5)
    op = make(x.shape)
    y, dx = np.empty_like(x), np.empty_like(x)
    op.forward(x, w, y)
    op.backward_data(x, dy, w, dx)
    op.backward_data(x, dy, w, dy)
    op.forward(x, w, x)
    assert (x == y).all()
    assert (dy == dx).all()


def test_another_shape():
    op = make((2, 3, 4))
    x, dy, w = draw((3, 5, 2), 5)
    op.plan(x.shape)
    y, dw = np.empty_like(x), np.zeros_like(w)
    op.forward(x, w, y)
    op.backward_filter(x, dy, dw)
    np.testing.assert_allclose(y, prelu(x, w), rtol=1e-6)
    np.testing.assert_allclose(dw, prelu_gradients(x, dy, w)[1], rtol=1e-5, atol=1e-6)


def test_nan_shows():
    x = np.array([[[np.nan, 1.0]]], np.float32)
    w, dw, y = np.full(1, 0.5, np.float32), np.zeros(1, np.float32), np.empty_like(x)
    op = make(x.shape)
    op.forward(x, w, y)
    op.backward_filter(x, np.ones_like(x), dw)
    assert np.isnan(y[0, 0, 0])
    assert y[0, 0, 1] == 1
    assert np.isnan(dw).all()


@pytest.mark.parametrize("shared", [False, True])
def test_threads_do_not_change_bits(shared):
    x, dy, w = draw((5, 7, 301), () if shared else 7)
    results = []
    for threads in (1, 3):
        op = make(x.shape, shared, threads=threads)
        y, dw = np.empty_like(x), np.zeros_like(w)
        op.forward(x, w, y)
        op.backward_filter(x, dy, dw)
        results.append((y, dw))
    assert (results[0][0] == results[1][0]).all()
    assert (results[0][1] == results[1][1]).all()
