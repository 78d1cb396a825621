"""Pooling on the GPU against the CPU's: maxima and where they are to the bit, means to a rounding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on

#: Image, kernel, stride, pad, output.
WINDOWS = [
    ((2, 3, 7, 9), (3, 3), (2, 2), (0, 0), (3, 4)),
    ((1, 2, 9, 11), (3, 3), (1, 1), (1, 1), (9, 11)),
    ((2, 1, 8, 5), (3, 2), (2, 3), (1, 0), (5, 2)),
    # The last windows hang over the image.
    ((1, 2, 6, 6), (3, 3), (2, 2), (0, 0), (3, 3)),
    # One that covers the image: threads of a warp share it.
    ((3, 2, 7, 7), (7, 7), (1, 1), (0, 0), (1, 1)),
    ((2, 1, 5, 40), (5, 40), (1, 1), (0, 0), (1, 1)),
    ((1, 3, 9, 8), (6, 6), (2, 2), (2, 2), (4, 4)),
    # More values in a window than a byte counts.
    ((1, 1, 20, 17), (16, 17), (3, 1), (0, 0), (3, 1)),
    ((0, 3, 5, 5), (2, 2), (2, 2), (0, 0), (3, 3)),
]


def run(name, window, x, dy, mask=False):
    _, kernel, stride, pad, _ = window

    def passes(backend):
        op = getattr(backend.ops, name)(backend, kernel, stride, pad)
        op.plan(x.shape, dy.shape)
        y, dx, places = backend.empty(dy.shape), backend.empty(x.shape), backend.empty(dy.shape)
        op.forward(on(backend, x), y, *([places] if mask else []))
        op.backward(on(backend, dy), dx)
        return (y, dx, places) if mask else (y, dx)

    return passes


def arrays(window):
    shape, output = window[0], window[4]
    random = np.random.default_rng(4)
    # Of few values, so that many are equal.
    return random.integers(-3, 4, shape) / 4, random.standard_normal((*shape[:2], *output))


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window[0]} by {window[1]}")
def test_max(cpu, gpu, window):
    (y, dx, places), (y2, dx2, places2) = both(run("MaxPool", window, *arrays(window), mask=True), cpu, gpu)
    np.testing.assert_array_equal(y2, y)
    np.testing.assert_array_equal(places2, places)
    np.testing.assert_allclose(dx2, dx, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window[0]} by {window[1]}")
def test_ave(cpu, gpu, window):
    (y, dx), (y2, dx2) = both(run("AvePool", window, *arrays(window)), cpu, gpu)
    np.testing.assert_allclose(y2, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx2, dx, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [3, 7])
def test_windows_without_a_maximum(cpu, gpu, size):
    """NaN, and numbers that are not above -FLT_MAX, are no maximum: Caffe's value, no place and no gradient."""
    x = np.ones((1, 4, size, size))
    x[0, 0] = np.nan
    x[0, 1] = -np.inf
    x[0, 2] = np.nan
    x[0, 2, 1, 1] = -5
    x[0, 3, 0, 0] = np.nan
    window = (x.shape, (size, size), (1, 1), (0, 0), (1, 1))
    (y, dx, places), (y2, dx2, places2) = both(run("MaxPool", window, x, np.ones((1, 4, 1, 1)), mask=True), cpu, gpu)
    np.testing.assert_array_equal(y2, y)
    np.testing.assert_array_equal(places2, places)
    np.testing.assert_array_equal(dx2, dx)
    assert places2.ravel().tolist() == [-1, -1, size + 1, 1]
    assert not dx2[0, :2].any()


def test_other_shapes_and_back(cpu, gpu):
    def passes(backend):
        op = backend.ops.MaxPool(backend, (2, 2), (2, 2), (0, 0))
        found = []
        for size in (4, 8, 4):
            x = on(backend, np.arange(3 * size * size).reshape(1, 3, size, size))
            y, dx = backend.empty((1, 3, size // 2, size // 2)), backend.empty(x.shape)
            op.plan(x.shape, y.shape)
            op.forward(x, y)
            op.backward(y, dx)
            found += [y, dx]
        return found

    for a, b in zip(*both(passes, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a)
