"""caffepy.cpu.lrn against the definition, with alpha so large that every value of a window matters."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffepy.cpu import lrn as lrn_op
from caffepy.devices import get_backend
from caffepy.testing import poisoned
from tests.reference.lrn import across, lrn, lrn_gradient, within

SHAPES = [(2, 7, 3, 4), (1, 1, 2, 2), (3, 2, 1, 1), (2, 5, 17, 31), (5, 3, 2, 3)]
# alpha, beta, k
CONSTANTS = [(1.0, 0.75, 1.0), (2.5, 0.5, 2.0), (0.7, 1.3, 0.25), (1.5, 2.0, 5.0)]


def make(kind, size, alpha, beta, k, dtype, threads=2):
    backend = poisoned(get_backend("cpu", dtype, threads))
    if kind == "across":
        return backend.ops.LRN(backend, size, alpha, beta, k)
    return backend.ops.LRNWithin(backend, size, alpha, beta)


def definition(kind, size, alpha, beta, k):
    """What the reference takes: WITHIN_CHANNEL divides by the size squared and has 1 for k."""
    if kind == "across":
        return across, size, alpha / size, beta, k
    return within, size, alpha / size**2, beta, 1.0


def both(op, x, dy):
    op.plan(x.shape)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    op.forward(x, y)
    op.backward(x, dy, dx)
    return y, dx


def values(shape, dtype="float64"):
    random = np.random.default_rng(8)
    return [random.standard_normal(shape).astype(dtype) for _ in range(2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 5, 9])
@pytest.mark.parametrize("constants", CONSTANTS)
@pytest.mark.parametrize("kind", ["across", "within"])
def test_definition(shape, size, constants, kind):
    if np.prod(shape) > 1000 and (constants != CONSTANTS[0] or size > 5):
        shape = (1, 3, 17, 31) if size == 3 else (1, 2, 5, 9)
    x, dy = values(shape)
    y, dx = both(make(kind, size, *constants, "float64"), x, dy)
    settings = definition(kind, size, *constants)
    np.testing.assert_allclose(y, lrn(x, *settings), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(dx, lrn_gradient(x, dy, *settings), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["across", "within"])
@pytest.mark.parametrize("constants", [CONSTANTS[0], CONSTANTS[2]])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_float32(kind, constants, threads):
    x, dy = values((5, 6, 4, 5), "float32")
    y, dx = both(make(kind, 5, *constants, "float32", threads), x, dy)
    settings = definition(kind, 5, *constants)
    np.testing.assert_allclose(y, lrn(x.astype(float), *settings), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, lrn_gradient(x.astype(float), dy.astype(float), *settings), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("constants", [CONSTANTS[0], CONSTANTS[2]])
def test_one_image_is_shared_by_all_threads_and_has_the_same_bits(constants, monkeypatch):
    x, _ = values((1, 6, 17, 31), "float32")
    results = []
    for threads in (1, 2, 3):
        op = make("across", 5, *constants, "float32", threads)
        op.plan(x.shape)
        results.append(np.full_like(x, np.nan))
        parts = []
        run = op._workers.run
        monkeypatch.setattr(op._workers, "run", lambda *call, run=run, parts=parts: parts.append(run(*call)))
        op.forward(x, results[-1])
        assert parts == [threads]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("kind", ["across", "within"])
def test_each_value_of_a_window_matters_and_none_outside(kind):
    shape = (1, 9, 1, 1) if kind == "across" else (1, 1, 9, 1)
    op = make(kind, 5, 1.0, 0.75, 1.0, "float64")
    op.plan(shape)
    plain, y = np.empty(shape), np.empty(shape)
    op.forward(np.ones(shape), plain)
    for place in range(9):
        x = np.ones(shape)
        x.reshape(-1)[place] = 2
        op.forward(x, y)
        changed = np.abs(y / x - plain).reshape(-1) > 0.01
        assert list(np.flatnonzero(changed)) == list(range(max(place - 2, 0), min(place + 3, 9)))


@pytest.mark.parametrize("kind", ["across", "within"])
def test_gradient_is_a_difference_of_forward(kind):
    x, dy = values((2, 6, 4, 3))
    op = make(kind, 3, 1.3, 0.75, 2.0, "float64")
    _, dx = both(op, x, dy)
    y = np.empty_like(x)

    def loss():
        op.forward(x, y)
        return float(np.vdot(y, dy))

    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + 1e-5
        above = loss()
        x[place] = kept - 1e-5
        below = loss()
        x[place] = kept
        assert (above - below) / 2e-5 == pytest.approx(dx[place], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", ["across", "within"])
def test_other_shapes_and_back(kind):
    op = make(kind, 5, 1.0, 0.75, 1.0, "float64")
    settings = definition(kind, 5, 1.0, 0.75, 1.0)
    for shape in ((2, 3, 4, 5), (1, 3, 4, 5), (3, 8, 2, 2), (2, 3, 4, 5)):
        x, dy = values(shape)
        y, dx = both(op, x, dy)
        np.testing.assert_allclose(y, lrn(x, *settings), rtol=1e-11)
        np.testing.assert_allclose(dx, lrn_gradient(x, dy, *settings), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["across", "within"])
@pytest.mark.parametrize("constants", CONSTANTS)
def test_the_diff_may_be_overwritten_in_place(kind, constants):
    x, dy = values((2, 6, 17, 19))
    op = make(kind, 5, *constants, "float64")
    _, dx = both(op, x, dy)
    op.backward(x, dy, dy)
    assert (dy == dx).all()


def test_small_values_beside_large_ones_keep_their_digits():
    # A running sum that adds and takes away 1e6 leaves nothing of 1e-2 in float32.
    x = np.full((1, 12, 1, 1), 1e-2, np.float32)
    x[0, 2] = 1e3
    op = make("across", 3, 3.0, 1.0, 1e-4, "float32")
    op.plan(x.shape)
    y = np.empty_like(x)
    op.forward(x, y)
    np.testing.assert_allclose(y, lrn(x.astype(float), across, 3, 1.0, 1.0, float(np.float32(1e-4))), rtol=1e-5)


@pytest.mark.parametrize("size", [13, 15, 10_001, 2**31 - 1])
def test_a_window_wider_than_all_channels_takes_no_more_memory(size):
    x, dy = values((2, 7, 3, 4))
    asked = []
    backend = poisoned(get_backend("cpu", "float64", 2))
    scratch = backend.scratch
    vars(backend)["scratch"] = lambda shape, dtype=None: (asked.append(math.prod(shape)), scratch(shape, dtype))[1]
    op = backend.ops.LRN(backend, size, 2.0 * size, 0.75, 1.0)
    y, dx = both(op, x, dy)
    # All channels lie in every window.
    settings = (across, 13, 2.0, 0.75, 1.0)
    np.testing.assert_allclose(y, lrn(x, *settings), rtol=1e-11)
    np.testing.assert_allclose(dx, lrn_gradient(x, dy, *settings), rtol=1e-10, atol=1e-12)
    assert max(asked) <= 2 * (2 + 2 * 13 + 6) * lrn_op._BLOCK


def test_a_wide_window_follows_the_channels():
    op = make("across", 9, 1.0, 0.75, 1.0, "float64")
    for channels in (2, 7, 3):
        x, dy = values((2, channels, 3, 4))
        y, dx = both(op, x, dy)
        settings = definition("across", 9, 1.0, 0.75, 1.0)
        np.testing.assert_allclose(y, lrn(x, *settings), rtol=1e-11)
        np.testing.assert_allclose(dx, lrn_gradient(x, dy, *settings), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["across", "within"])
def test_nan_and_infinity_show(kind):
    x = np.ones((1, 3, 3, 3), np.float32)
    x[0, 1, 1, 1] = np.nan
    op = make(kind, 3, 1.0, 0.75, 1.0, "float32")
    op.plan(x.shape)
    y = np.empty_like(x)
    op.forward(x, y)
    assert np.isnan(y[0, 1, 1, 1])
    assert np.isnan(y).sum() == (3 if kind == "across" else 9)
