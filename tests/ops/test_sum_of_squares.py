"""caffepy.cpu.sum_of_squares against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend


def make(count, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.SumOfSquares(backend)
    op.plan(count)
    return op


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 32_768, 32_769, 100_003])
def test_definition(count, dtype):
    x = np.random.standard_normal(count).astype(dtype)
    sums = {make(count, dtype, threads).forward(x) for threads in (1, 2, 3)}
    assert len(sums) == 1
    np.testing.assert_allclose(sums.pop(), (x.astype(np.float64) ** 2).sum(), rtol=1e-12)


def test_plan_again_for_another_count():
    op = make(100_000)
    assert op.forward(np.ones(100_000, np.float32)) == 100_000
    op.plan(3)
    assert op.forward(np.full(3, 2, np.float32)) == 12


def test_does_not_overflow_where_float32_would():
    np.testing.assert_allclose(make(10).forward(np.full(10, 1e25, np.float32)), 1e51, rtol=1e-6)


def test_nan_shows():
    assert np.isnan(make(2).forward(np.array([1, np.nan], np.float32)))
