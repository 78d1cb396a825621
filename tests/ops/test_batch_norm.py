"""caffepy.cpu.batch_norm against the definition, differences for its gradient, and sums of many values."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.batch_norm import batch_norm, moments

SHAPES = [(1, 1, 1), (4, 3, 1), (1, 2, 6), (3, 5, 4)]


def make(shape, global_stats=False, eps=1e-2, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.BatchNorm(backend, eps)
    op.plan(shape, global_stats)
    return op


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_of_the_batch(shape, dtype):
    x = (np.random.standard_normal(shape) * 2 + 3).astype(dtype)
    mean, variance, y = (np.full(s, np.nan, dtype) for s in (shape[1], shape[1], shape))
    make(shape, dtype=dtype).forward(x, mean, variance, y)
    near = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}
    expected = moments(x)
    np.testing.assert_allclose(mean, expected[0], **near)
    np.testing.assert_allclose(variance, expected[1], **near)
    np.testing.assert_allclose(y, batch_norm(x, *expected, 1e-2), **near)


@pytest.mark.parametrize("shape", SHAPES)
def test_of_given_numbers(shape):
    x, dy = (np.random.standard_normal(shape).astype(np.float32) for _ in range(2))
    mean = np.random.standard_normal(shape[1]).astype(np.float32)
    variance = np.random.uniform(0.5, 2, shape[1]).astype(np.float32)
    op = make(shape, global_stats=True)
    y, dx = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    op.forward_global(x, mean, variance, y)
    op.backward_global(dy, dx)
    np.testing.assert_allclose(y, batch_norm(x, mean, variance, 1e-2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, batch_norm(dy, 0 * mean, variance, 1e-2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 1), (4, 3, 1), (3, 2, 4)])
def test_gradient_of_each_element(shape):
    x, dy = (np.random.standard_normal(shape) for _ in range(2))
    op = make(shape, dtype="float64")
    mean, variance, y, dx = (np.empty(s) for s in (shape[1], shape[1], shape, shape))
    op.forward(x, mean, variance, y)
    op.backward(dy, dx)
    for place in np.ndindex(shape):
        ends = []
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            ends.append((batch_norm(moved, *moments(moved), 1e-2) * dy).sum())
        np.testing.assert_allclose(dx[place], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_in_place():
    shape = (3, 4, 5)
    x, dy = (np.random.standard_normal(shape).astype(np.float32) for _ in range(2))
    mean, variance = np.empty(4, np.float32), np.empty(4, np.float32)
    for run in ("", "_global"):
        op = make(shape, global_stats=bool(run))
        a, g, y, dx = x.copy(), dy.copy(), np.empty_like(x), np.empty_like(x)
        getattr(op, f"forward{run}")(x, mean, variance, y)
        getattr(op, f"backward{run}")(dy, dx)
        getattr(op, f"forward{run}")(a, mean, variance, a)
        assert (a == y).all()
        # The next layer in place overwrites what this one made.
        a.fill(np.nan)
        getattr(op, f"backward{run}")(g, g)
        assert (g == dx).all()


def test_a_million_values_far_from_zero():
    x = (np.random.standard_normal((4, 1, 300_000)) + 1000).astype(np.float32)
    mean, variance = np.empty(1, np.float32), np.empty(1, np.float32)
    make(x.shape).forward(x, mean, variance, np.empty_like(x))
    np.testing.assert_allclose(mean, x.mean(dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(variance, x.var(dtype=np.float64), rtol=1e-6)


def test_threads_do_not_change_bits():
    x = np.random.standard_normal((3, 7, 50)).astype(np.float32)
    results = []
    for threads in (1, 3):
        mean, variance, y = np.empty(7, np.float32), np.empty(7, np.float32), np.empty_like(x)
        make(x.shape, threads=threads).forward(x, mean, variance, y)
        results.append((mean, variance, y))
    for a, b in zip(*results, strict=True):
        assert (a == b).all()


def test_planned_for_both_kinds_in_turn():
    op = make((2, 3, 4), global_stats=True)
    op.plan((2, 3, 4), False)
    x = np.random.standard_normal((2, 3, 4)).astype(np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)
    op.forward(x, np.empty(3, np.float32), np.empty(3, np.float32), y)
    op.backward(x, dx)
    assert np.isfinite(dx).all()
