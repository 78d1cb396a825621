"""caffepy.cpu.clip_gradients against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend


def make(count, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.ClipGradients(backend)
    op.plan(count)
    return op


def clip(op, dw, limit=1.0, passes=1):
    norm, scale = np.zeros(1), np.zeros(1, dw.dtype)
    op.forward(dw, limit, passes, norm, scale)
    return norm[0], scale[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 32_768, 32_769, 100_003])
def test_norm(count, dtype):
    dw = np.random.standard_normal(count).astype(dtype)
    norms = {clip(make(count, dtype, threads), dw)[0] for threads in (1, 2, 3)}
    assert len(norms) == 1
    np.testing.assert_allclose(norms.pop(), np.linalg.norm(dw.astype(np.float64)), rtol=1e-12)


@pytest.mark.parametrize(
    ("limit", "passes", "scale"), [(2.5, 1, 0.5), (2.5, 4, 0.125), (5, 1, 1), (5, 2, 0.5), (9, 1, 1), (0, 3, 0)]
)
def test_scale(limit, passes, scale):
    assert clip(make(2), np.array([3, -4], np.float32), limit, passes) == (5, scale)


def test_plan_again_for_another_count():
    op = make(100_000)
    assert clip(op, np.ones(100_000, np.float32))[0] == 100_000**0.5
    op.plan(3)
    assert clip(op, np.full(3, 2, np.float32))[0] == 12**0.5


def test_does_not_overflow_where_float32_would():
    norm, scale = clip(make(4), np.full(4, 1e25, np.float32))
    np.testing.assert_allclose((norm, scale), (2e25, 0.5e-25), rtol=1e-6)


def test_what_is_not_finite():
    norm, scale = clip(make(2), np.array([1, np.nan], np.float32))
    assert np.isnan(norm)
    assert scale == 1
    assert clip(make(2), np.array([1, np.inf], np.float32)) == (np.inf, 0)
