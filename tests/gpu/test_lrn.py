"""Local response normalisation on the GPU, across channels and within them, against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import poisoned
from tests.gpu.twins import both, on

# alpha so large that every value of a window matters; beta, k.
CONSTANTS = [(1.0, 0.75, 1.0), (2.5, 0.5, 2.0), (0.7, 1.3, 0.25)]
SHAPES = [(2, 7, 3, 4), (1, 1, 2, 2), (2, 40, 3, 5), (0, 3, 2, 2), (1, 6, 1, 1)]


def compare(run, cpu, gpu, dtype):
    near = 1e-5 if dtype == "float32" else 1e-12
    for name, a, b in zip(("y", "dx", "dx in place"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_allclose(b, a, rtol=near, atol=near, err_msg=name)


def passes(make, shape):
    random = np.random.default_rng(8)
    x, dy = random.standard_normal(shape), random.standard_normal(shape)

    def run(backend):
        backend = poisoned(backend)
        op = make(backend)
        op.plan(shape)
        xs, dys, y, dx = on(backend, x), on(backend, dy), backend.empty(shape), backend.empty(shape)
        op.forward(xs, y)
        op.backward(xs, dys, dx)
        op.backward(xs, dys, dys)
        return y, dx, dys

    return run


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 5, 9])
@pytest.mark.parametrize("constants", CONSTANTS)
def test_across(cpu, gpu, dtype, shape, size, constants):
    compare(passes(lambda backend: backend.ops.LRN(backend, size, *constants), shape), cpu, gpu, dtype)


@pytest.mark.parametrize(("channels", "size"), [(90, 151), (200, 399), (200, 10_001)])
def test_windows_of_many_channels(cpu, gpu, dtype, channels, size):
    """Their rings have room for fewer threads of a block, or none: they lie in the device's memory then."""
    shape = (1, channels, 2, 3)
    compare(passes(lambda backend: backend.ops.LRN(backend, size, 2.0, 0.75, 1.0), shape), cpu, gpu, dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("constants", CONSTANTS)
def test_within(cpu, gpu, dtype, shape, size, constants):
    compare(passes(lambda backend: backend.ops.LRNWithin(backend, size, *constants[:2]), shape), cpu, gpu, dtype)


@pytest.mark.parametrize("name", ["LRN", "LRNWithin"])
def test_nan_reaches_its_window_only(cpu, gpu, name):
    x = np.ones((1, 9, 9, 9))
    x[0, 4, 4, 4] = np.nan

    def run(backend):
        op = getattr(backend.ops, name)(backend, 3, 1.0, 0.75, *([1.0] if name == "LRN" else []))
        op.plan(x.shape)
        y = backend.empty(x.shape)
        op.forward(on(backend, x), y)
        return (y,)

    (a,), (b,) = both(run, cpu, gpu)
    np.testing.assert_array_equal(np.isnan(b), np.isnan(a))
    assert np.isnan(b).sum() == (3 if name == "LRN" else 9)
