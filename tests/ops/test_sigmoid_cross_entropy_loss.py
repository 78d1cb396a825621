"""caffepy.cpu.sigmoid_cross_entropy_loss against the definition; large scores."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.sigmoid_cross_entropy_loss import (
    sigmoid_cross_entropy_loss,
    sigmoid_cross_entropy_loss_gradient,
)


def make(shape, ignore_label=None, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.SigmoidCrossEntropyLoss(backend, ignore_label)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    return (3 * np.random.standard_normal(shape)).astype(dtype), np.random.uniform(0, 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ignore_label", [None, 1, 0, -1, 255])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 8)])
def test_definition(shape, ignore_label, dtype):
    x, target = draw(shape, dtype)
    target.flat[::4] = 1
    if ignore_label is not None:
        target.flat[::3] = ignore_label
    op = make(shape, ignore_label, dtype)
    out, dx = np.full(2, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(x, target, out)
    np.testing.assert_allclose(out, sigmoid_cross_entropy_loss(x, target, ignore_label), rtol=1e-6)
    op.backward(x, target, np.array([0.7], dtype), dx)
    expected = sigmoid_cross_entropy_loss_gradient(x, target, 0.7, ignore_label)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-7)
    op.backward(x, target, np.array(0.7, dtype), x)
    assert (x == dx).all()


def test_large_scores():
    x, target = np.array([[1000, -1000, 1000, -1000]], np.float32), np.array([[1, 0, 0, 1]], np.float32)
    op, out, dx = make((1, 4)), np.empty(2, np.float32), np.empty((1, 4), np.float32)
    op.forward(x, target, out)
    op.backward(x, target, np.ones(1, np.float32), dx)
    assert out.tolist() == [2000, 4]
    assert dx.tolist() == [[0, 0, 1, -1]]


def test_nan_stays():
    x, target = draw((2, 3))
    x[1, 1] = np.nan
    op, out, dx = make((2, 3)), np.empty(2, np.float32), np.empty((2, 3), np.float32)
    op.forward(x, target, out)
    op.backward(x, target, np.ones(1, np.float32), dx)
    assert np.isnan(out[0])
    assert np.isnan(dx[1, 1])
    assert np.isnan(dx).sum() == 1


def test_the_sum_does_not_depend_on_threads():
    x, target = draw((37, 11))
    sums = []
    for threads in (1, 2, 3):
        out = np.empty(2, np.float32)
        make(x.shape, threads=threads).forward(x, target, out)
        sums.append(out)
    assert (sums[0] == sums[1]).all()
    assert (sums[0] == sums[2]).all()
