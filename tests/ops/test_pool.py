"""caffepy.cpu.pool against the definition: windows that overlap, leave gaps or hang over; ties, NaN, random draws."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.backend import Counter
from caffepy.devices import get_backend
from caffepy.random import Stream
from caffepy.testing import poisoned
from tests.reference.pool import (
    LOWEST,
    ave_pool,
    ave_pool_gradient,
    expected_pool,
    max_pool,
    max_pool_gradient,
    output_shape,
    stochastic_pool,
)

KEY = Stream(1, "pool", "stochastic_pooling").key

# x, kernel, stride, pad
WINDOWS = {
    "2x2 by 2": ((2, 3, 6, 8), (2, 2), (2, 2), (0, 0)),
    "2x2 by 2, odd": ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0)),
    "3x3 by 2": ((2, 2, 7, 9), (3, 3), (2, 2), (0, 0)),
    "3x3 by 2, hanging over": ((2, 2, 8, 6), (3, 3), (2, 2), (0, 0)),
    "3x3 by 2, wide": ((1, 2, 9, 71), (3, 3), (2, 2), (0, 0)),
    "3x3 by 1": ((2, 2, 5, 6), (3, 3), (1, 1), (0, 0)),
    "3x3 by 1, pad": ((2, 2, 5, 6), (3, 3), (1, 1), (1, 1)),
    "3x3 by 2, pad": ((2, 2, 6, 7), (3, 3), (2, 2), (1, 1)),
    "not square": ((2, 3, 7, 10), (2, 3), (1, 2), (1, 2)),
    "pad on one axis": ((1, 2, 5, 5), (3, 3), (2, 2), (2, 0)),
    "stride above kernel": ((2, 2, 8, 9), (2, 1), (3, 4), (0, 0)),
    "stride above kernel, windows outside": ((2, 2, 9, 11), (2, 1), (3, 4), (0, 0)),
    "1x1 by 2, windows outside": ((2, 1, 4, 4), (1, 1), (2, 2), (0, 0)),
    "windows far outside": ((1, 2, 5, 5), (1, 2), (4, 6), (0, 0)),
    "the image": ((3, 2, 4, 5), (4, 5), (1, 1), (0, 0)),
    "larger than the image": ((2, 2, 2, 2), (3, 3), (2, 2), (0, 0)),
    "1x1": ((2, 2, 3, 4), (1, 1), (1, 1), (0, 0)),
    "one value": ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0)),
    "one row": ((2, 3, 1, 9), (1, 3), (1, 2), (0, 1)),
    "one plane": ((1, 1, 8, 8), (3, 3), (2, 2), (1, 1)),
    "many planes": ((5, 7, 4, 4), (2, 2), (2, 2), (0, 0)),
}
UNPADDED = [name for name, window in WINDOWS.items() if window[3] == (0, 0)]


def setting(name, dtype="float64", ceil=True, positive=False):
    x_shape, *window = WINDOWS[name]
    y_shape = output_shape(x_shape, *window, ceil)
    random = np.random.default_rng(5)
    x, dy = random.standard_normal(x_shape).astype(dtype), random.standard_normal(y_shape).astype(dtype)
    return np.abs(x) if positive else x, dy, window


def backend_of(dtype="float64", threads=2):
    return poisoned(get_backend("cpu", dtype, threads))


def both(op, x, dy, **more):
    op.plan(x.shape, dy.shape)
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    op.forward(x, y, **more)
    op.backward(dy, dx)
    return y, dx


def near(dtype):
    return {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-13}


ROUNDED = [(name, ceil) for name in WINDOWS for ceil in (True, False) if ceil or name != "larger than the image"]


@pytest.mark.parametrize(("name", "ceil"), ROUNDED)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 3), ("float64", 2)])
def test_max(name, ceil, dtype, threads):
    x, dy, window = setting(name, dtype, ceil)
    backend = backend_of(dtype, threads)
    mask = np.full_like(dy, np.nan)
    y, dx = both(backend.ops.MaxPool(backend, *window), x, dy, mask=mask)
    want, index = max_pool(x, dy.shape, *window)
    assert (y == want.astype(dtype)).all()
    assert (mask == index).all()
    np.testing.assert_allclose(dx, max_pool_gradient(x.shape, dy, index), **near(dtype))


@pytest.mark.parametrize("name", list(WINDOWS))
def test_max_with_ties_infinity_and_nan(name):
    # Values of a few kinds only, so that every window has ties, and NaN in every place of a window.
    x, dy, window = setting(name, "float32")
    kinds = np.array([-1, 0, 0, 1, np.inf, -np.inf, np.nan, np.nan, LOWEST], np.float32)
    backend = backend_of("float32")
    op = backend.ops.MaxPool(backend, *window)
    for seed in range(8):
        x = np.random.default_rng(seed).choice(kinds, x.shape)
        mask = np.full_like(dy, np.nan)
        y, dx = both(op, x, dy, mask=mask)
        want, index = max_pool(x, dy.shape, *window)
        assert (y == want.astype(np.float32)).all()
        assert (mask == index).all()
        np.testing.assert_allclose(dx, max_pool_gradient(x.shape, dy, index), **near("float32"))


@pytest.mark.parametrize("value", [np.nan, -np.inf, LOWEST])
def test_max_of_nothing_is_the_lowest_float32_and_has_no_gradient(value):
    backend = backend_of("float32")
    x = np.full((1, 2, 4, 4), value, np.float32)
    y, dx = both(backend.ops.MaxPool(backend, (2, 2), (2, 2), (0, 0)), x, np.ones((1, 2, 2, 2), np.float32))
    assert (y == np.float32(LOWEST)).all()
    assert (dx == 0).all()


@pytest.mark.parametrize(("name", "ceil"), ROUNDED)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 3), ("float64", 2)])
def test_ave(name, ceil, dtype, threads):
    x, dy, window = setting(name, dtype, ceil)
    backend = backend_of(dtype, threads)
    y, dx = both(backend.ops.AvePool(backend, *window), x, dy)
    np.testing.assert_allclose(y, ave_pool(x.astype(float), dy.shape, *window), **near(dtype))
    np.testing.assert_allclose(dx, ave_pool_gradient(x.shape, dy.astype(float), *window), **near(dtype))


def test_ave_of_a_window_outside_the_image_is_nan_as_in_caffe():
    backend = backend_of("float32")
    y, dx = both(
        backend.ops.AvePool(backend, (1, 1), (2, 2), (0, 0)),
        np.ones((1, 1, 4, 4), np.float32),
        np.ones((1, 1, 3, 3), np.float32),
    )
    np.testing.assert_array_equal(y[0, 0], [[1, 1, np.nan], [1, 1, np.nan], [np.nan, np.nan, np.nan]])
    assert dx[0, 0].sum() == 4


def test_ave_divides_by_the_window_clipped_to_the_padded_image():
    backend = backend_of()
    y, dx = both(backend.ops.AvePool(backend, (3, 3), (2, 2), (1, 1)), np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3)))
    # Corner: four of nine values. Bottom right: the window ends with the padding, 2 x 2, and holds one value.
    np.testing.assert_allclose(y[0, 0], [[4 / 9, 6 / 9, 2 / 6], [6 / 9, 9 / 9, 3 / 6], [2 / 6, 3 / 6, 1 / 4]])
    assert dx[0, 0, 3, 3] == pytest.approx(1 / 9 + 2 * 0 + 1 / 4 + 2 / 6)


@pytest.mark.parametrize("kind", ["MaxPool", "AvePool"])
@pytest.mark.parametrize("name", ["2x2 by 2", "3x3 by 2, hanging over", "not square", "3x3 by 2, pad"])
def test_gradient_is_a_difference_of_forward(kind, name):
    x, dy, window = setting(name)
    backend = backend_of()
    op = getattr(backend.ops, kind)(backend, *window)
    _, dx = both(op, x, dy)
    y = np.empty_like(dy)

    def loss():
        op.forward(x, y)
        return float(np.vdot(y, dy))

    for flat in np.random.default_rng(3).choice(x.size, min(x.size, 40), replace=False):
        place = np.unravel_index(flat, x.shape)
        kept = x[place]
        x[place] = kept + 1e-7
        above = loss()
        x[place] = kept - 1e-7
        below = loss()
        x[place] = kept
        assert (above - below) / 2e-7 == pytest.approx(dx[place], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["MaxPool", "AvePool"])
def test_other_shapes_and_back(kind):
    backend = backend_of()
    window = (3, 3), (2, 2), (1, 1)
    op = getattr(backend.ops, kind)(backend, *window)
    for shape in ((2, 3, 7, 7), (1, 3, 7, 7), (4, 1, 12, 5), (2, 3, 7, 7)):
        x = np.random.standard_normal(shape)
        dy = np.random.standard_normal(output_shape(shape, *window))
        y, dx = both(op, x, dy)
        if kind == "MaxPool":
            want, index = max_pool(x, dy.shape, *window)
            want_dx = max_pool_gradient(shape, dy, index)
        else:
            want, want_dx = ave_pool(x, dy.shape, *window), ave_pool_gradient(shape, dy, *window)
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(dx, want_dx, rtol=1e-12, atol=1e-13)


def stochastic(kernel, stride, step=0, train=True, dtype="float64", threads=2):
    backend = backend_of(dtype, threads)
    counter = Counter(step)
    return backend.ops.StochasticPool(backend, kernel, stride, KEY, counter, train), counter


@pytest.mark.parametrize("name", UNPADDED)
@pytest.mark.parametrize("step", [0, 7, 2**33])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_stochastic_draws_by_the_stream(name, step, threads):
    x, dy, (kernel, stride, _) = setting(name, positive=True)
    op, counter = stochastic(kernel, stride, step, threads=threads)
    op.plan(x.shape, dy.shape)
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    op.forward(x, y)
    # The net has gone on counting when backward comes.
    counter.value += 1
    op.backward(dy, dx)
    want, index = stochastic_pool(
        x, dy.shape, kernel, stride, Stream(1, "pool", "stochastic_pooling").uniform(dy.size, step)
    )
    assert (y == want).all()
    np.testing.assert_allclose(dx, max_pool_gradient(x.shape, dy, index), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stochastic_draws_in_proportion_to_the_values(dtype):
    # 40,000 windows of 1, 2, 3 and 4: each comes with its own frequency, within five standard deviations.
    x = np.tile(np.array([[1, 2], [3, 4]], dtype), (200, 200))[None, None]
    op, counter = stochastic((2, 2), (2, 2), dtype=dtype)
    y = np.empty((1, 1, 200, 200), dtype)
    op.plan(x.shape, y.shape)
    draws = []
    for step in (0, 1):
        counter.value = step
        op.forward(x, y)
        draws.append(y.copy())
        for value in (1, 2, 3, 4):
            p = value / 10
            assert (y == value).mean() == pytest.approx(p, abs=5 * (p * (1 - p) / 40_000) ** 0.5)
    # Two passes have nothing to do with one another.
    assert (draws[0] == draws[1]).mean() == pytest.approx((1 + 4 + 9 + 16) / 100, abs=0.015)


def test_stochastic_gives_the_same_bits_whatever_the_threads():
    x = np.random.default_rng(2).random((3, 5, 31, 33)).astype(np.float32)
    results = []
    for threads in (1, 2, 3):
        op, _ = stochastic((3, 3), (2, 2), 4, dtype="float32", threads=threads)
        results.append(both(op, x, np.ones((3, 5, 15, 16), np.float32)))
    for y, dx in results[1:]:
        assert (y == results[0][0]).all()
        assert (dx == results[0][1]).all()


def test_stochastic_never_draws_a_zero_beside_a_positive_value():
    random = np.random.default_rng(1)
    x = random.random((2, 3, 60, 60)).astype(np.float32) * (random.random((2, 3, 60, 60)) < 0.4)
    x = x.astype(np.float32)
    op, _ = stochastic((3, 3), (3, 3), dtype="float32")
    y, dx = both(op, x, np.ones((2, 3, 20, 20), np.float32))
    windows = x.reshape(2, 3, 20, 3, 20, 3).transpose(0, 1, 2, 4, 3, 5).reshape(2, 3, 20, 20, 9)
    assert ((windows == y[..., None]).any(-1)).all()
    assert ((y > 0) == (windows > 0).any(-1)).all()
    # Each window's gradient is in the window.
    assert (dx.reshape(2, 3, 20, 3, 20, 3).sum((3, 5)) == 1).all()


def test_stochastic_of_zeros_is_zero_and_its_first_value_gets_the_gradient():
    op, _ = stochastic((2, 2), (2, 2))
    y, dx = both(op, np.zeros((1, 1, 4, 4)), np.ones((1, 1, 2, 2)))
    assert (y == 0).all()
    np.testing.assert_array_equal(dx[0, 0], [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("name", UNPADDED)
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float64", 3)])
def test_stochastic_in_tests_is_the_mean(name, dtype, threads):
    x, dy, (kernel, stride, _) = setting(name, dtype, positive=True)
    x[0, 0] = 0
    op, _ = stochastic(kernel, stride, train=False, dtype=dtype, threads=threads)
    op.plan(x.shape, dy.shape)
    y = np.full_like(dy, np.nan)
    op.forward(x, y)
    np.testing.assert_allclose(y, expected_pool(x.astype(float), dy.shape, kernel, stride), **near(dtype))
