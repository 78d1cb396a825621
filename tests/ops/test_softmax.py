"""caffepy.cpu.softmax against the definition and the whole Jacobian."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.softmax import softmax, softmax_gradient


def make(shape, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.Softmax(backend)
    op.plan(shape)
    return op


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 1), (4, 3, 1), (3, 4, 7), (1, 2, 9), (5, 1, 2)])
def test_definition(shape, dtype):
    x, dy = (np.random.standard_normal(shape).astype(dtype) * 3 for _ in range(2))
    op = make(shape, dtype)
    y, dx = np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(x, y)
    op.backward(y, dy, dx)
    near = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(y, softmax(x), **near)
    np.testing.assert_allclose(dx, softmax_gradient(y, dy), **near)


def test_in_place():
    x, dy = (np.random.standard_normal((3, 4, 5)).astype(np.float32) for _ in range(2))
    op = make((3, 4, 5))
    y, dx = np.empty_like(x), np.empty_like(x)
    op.forward(x, y)
    op.backward(y, dy, dx)
    op.forward(x, x)
    assert (x == y).all()
    op.backward(x, dy, dy)
    assert (dy == dx).all()


@pytest.mark.parametrize("offset", [0, 1e4, -1e4, 3e38])
def test_large_scores_do_not_overflow(offset):
    x = np.array([[[0.0], [1.0], [2.0]]], np.float32) + np.float32(offset)
    y = np.empty_like(x)
    make(x.shape).forward(x, y)
    np.testing.assert_allclose(y, softmax(x), rtol=1e-5)
    assert abs(y.sum() - 1) < 1e-6


def test_nan_reaches_all_probabilities_of_its_sample_only():
    for place in range(3):
        x = np.zeros((2, 3, 2), np.float32)
        x[1, place, 0] = np.nan
        y = np.empty_like(x)
        make(x.shape).forward(x, y)
        assert np.isnan(y[1, :, 0]).all()
        assert np.isfinite(y[0]).all()
        assert np.isfinite(y[1, :, 1]).all()


def test_another_shape_and_back():
    op = make((2, 3, 4))
    for shape in ((3, 2, 9), (1, 3, 1), (2, 3, 4)):
        op.plan(shape)
        x = np.random.standard_normal(shape).astype(np.float32)
        y = np.empty_like(x)
        op.forward(x, y)
        np.testing.assert_allclose(y, softmax(x), rtol=1e-5)


def test_threads_do_not_change_bits():
    x = np.random.standard_normal((7, 5, 3)).astype(np.float32)
    y, z = np.empty_like(x), np.empty_like(x)
    make(x.shape, threads=1).forward(x, y)
    make(x.shape, threads=3).forward(x, z)
    assert (y == z).all()


@pytest.mark.parametrize("place", range(4))
def test_one_score_far_above_the_others(place):
    x = np.zeros((1, 4, 1), np.float32)
    x[0, place] = 1000
    y = np.empty_like(x)
    make(x.shape).forward(x, y)
    assert y[0, :, 0].tolist() == [float(c == place) for c in range(4)]
