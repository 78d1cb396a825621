"""ClipGradients on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on


def _clip(backend, dw, limit, passes):
    op = backend.ops.ClipGradients(backend)
    op.plan(dw.size)
    norm, scale = backend.zeros((1,), np.float64), backend.zeros((1,))
    op.forward(on(backend, dw), limit, passes, norm, scale)
    return norm, scale


@pytest.mark.parametrize("count", [0, 1, 31, 1000, 140_000])
@pytest.mark.parametrize(("limit", "passes"), [(0.25, 1), (0.25, 3), (1e6, 1), (1e6, 3), (0, 1)])
def test_twins(cpu, gpu, count, limit, passes):
    dw = np.random.default_rng(9).standard_normal(count)
    (norm, scale), found = both(lambda backend: _clip(backend, dw, limit, passes), cpu, gpu)
    np.testing.assert_allclose(found[0], norm, rtol=1e-12)
    np.testing.assert_allclose(found[1], scale, rtol=2e-7 if gpu.dtype == np.float32 else 1e-12)
    (again,) = both(lambda backend: _clip(backend, dw, limit, passes), gpu)
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(cpu, gpu, value):
    dw = np.array([1.0, value, 2.0])
    for one, other in zip(*both(lambda backend: _clip(backend, dw, 1.0, 2), cpu, gpu), strict=True):
        np.testing.assert_array_equal(one, other)
