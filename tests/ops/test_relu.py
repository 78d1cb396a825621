"""caffepy.cpu.relu against the definition, and what it does with NaN, infinity and zeros."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.relu import relu, relu_gradient


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def make(slope, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    return backend.ops.ReLU(backend, slope)


# More than one chunk for each thread, and a last one that is not whole.
@pytest.mark.parametrize("shape", [(1,), (2, 3, 4, 5), (3, 40_001)])
@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0, -0.5])
def test_definition(dtype, shape, slope):
    x = np.random.standard_normal(shape).astype(dtype)
    dy = np.random.standard_normal(shape).astype(dtype)
    op = make(slope, dtype)
    op.plan(shape)
    y, dx = np.full(shape, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(x, y)
    op.backward(x, dy, dx)
    near = 1e-6 if dtype == "float32" else 1e-12
    if x.size > 1000:
        x, dy, y, dx = x[:, -3:], dy[:, -3:], y[:, -3:], dx[:, -3:]
    np.testing.assert_allclose(y, relu(x, slope), rtol=near)
    np.testing.assert_allclose(dx, relu_gradient(x, dy, slope), rtol=near)


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_in_place(slope):
    x = np.random.standard_normal((5, 9999)).astype(np.float32)
    dy = np.random.standard_normal(x.shape).astype(np.float32)
    op = make(slope)
    y, dx = np.empty_like(x), np.empty_like(x)
    op.forward(x, y)
    op.backward(x, dy, dx)
    op.forward(x, x)
    assert (x == y).all()
    op.backward(x, dy, dy)
    assert (dy == dx).all()


def test_nan_infinity_and_zero():
    x = np.array([np.nan, np.inf, -np.inf, 0, -0.0, -3], np.float32)
    y = np.empty_like(x)
    make(0.1).forward(x, y)
    np.testing.assert_array_equal(y, np.array([np.nan, np.inf, -np.inf, 0, 0, np.float32(-0.3)], np.float32))
    make(0).forward(x, y)
    # As Caffe's formula has it, 0 * -inf is NaN.
    np.testing.assert_array_equal(y, np.array([np.nan, np.inf, np.nan, 0, 0, 0], np.float32))
    dx = np.empty_like(x)
    make(0.25).backward(x, np.ones_like(x), dx)
    np.testing.assert_array_equal(dx[1:], [1, 0.25, 0.25, 0.25, 0.25])


def test_negative_numbers_become_plain_zeros():
    x = -np.ones(40, np.float32)
    make(0).forward(x, x)
    assert not np.signbit(x).any()


def test_threads_do_not_change_bits():
    x = np.random.standard_normal(100_003).astype(np.float32)
    y, z = np.empty_like(x), np.empty_like(x)
    make(0.3, threads=1).forward(x, y)
    make(0.3, threads=3).forward(x, z)
    assert (y == z).all()
