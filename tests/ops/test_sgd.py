"""caffepy.cpu.sgd against the definition, segment by segment."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from tests.reference.sgd import sgd


def make(momentum, bounds, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.SGD(backend, momentum)
    op.plan(bounds)
    return op


def draw(count, dtype="float32"):
    return [np.random.standard_normal(count).astype(dtype) for _ in range(3)]


BOUNDS = [(0, 5, 1.0, 1.0), (5, 7, 2.0, 0.0), (9, 20, 0.0, 1.0), (20, 21, 0.1, 3.0)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("l1", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_definition(dtype, l1, momentum, scale):
    w, dw, history = draw(24, dtype)
    w[3] = 0
    expected = sgd(w, dw, history, BOUNDS, momentum, 0.1, 0.3, l1, scale)
    before = (w.copy(), dw.copy(), history.copy())
    make(momentum, BOUNDS, dtype).update(w, dw, history, 0.1, 0.3, l1, scale)
    for got, want, old in zip((w, dw, history), expected, before, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-6, atol=1e-7)
        for gap in (slice(7, 9), slice(21, 24)):
            assert (got[gap] == old[gap]).all()


def test_several_updates_and_rates():
    w, dw, history = draw(24)
    history[:] = 0
    expected = (w, dw, history)
    op = make(0.9, BOUNDS)
    w, dw, history = w.copy(), dw.copy(), history.copy()
    for rate in (0.1, 0.05, 0.01):
        gradient = draw(24)[0]
        dw[:] = gradient
        op.update(w, dw, history, rate, 5e-4, False, 1.0)
        expected = sgd(expected[0], gradient, expected[2], BOUNDS, 0.9, rate, 5e-4, False, 1.0)
    np.testing.assert_allclose(w, expected[0], rtol=1e-5, atol=1e-6)


def test_a_segment_with_lr_mult_zero_still_forgets_its_history():
    w, dw, history = draw(4)
    old_w, old = w.copy(), history.copy()
    make(0.5, [(0, 4, 0.0, 1.0)]).update(w, dw, history, 1.0, 1.0, False, 1.0)
    np.testing.assert_allclose(history, old / 2, rtol=1e-6)
    np.testing.assert_allclose(w, old_w - old / 2, rtol=1e-5, atol=1e-6)
    assert (dw == history).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_segments_longer_than_a_chunk(threads):
    count = 100_003
    w, dw, history = draw(count)
    bounds = [(0, 40_000, 1.0, 1.0), (40_000, count, 2.0, 0.5)]
    lr = np.where(np.arange(count) < 40_000, np.float32(1), np.float32(2)) * np.float32(0.1)
    decay = np.where(np.arange(count) < 40_000, np.float32(1), np.float32(0.5)) * np.float32(0.01)
    step = np.float32(0.9) * history + lr * (dw + decay * w)
    expected = w - step
    make(0.9, bounds, threads=threads).update(w, dw, history, 0.1, 0.01, False, 1.0)
    np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(history, step, rtol=1e-5, atol=1e-6)
    assert (dw == history).all()


def test_plan_again_with_other_bounds():
    op = make(0.0, [(0, 2, 1.0, 0.0)])
    w, dw, history = np.zeros(4, np.float32), np.ones(4, np.float32), np.zeros(4, np.float32)
    op.plan([(2, 4, 3.0, 0.0)])
    op.update(w, dw, history, 1.0, 0.0, False, 1.0)
    assert w.tolist() == [0, 0, -3, -3]


def test_nan_shows():
    w, dw, history = draw(4)
    dw[1] = np.nan
    make(0.9, [(0, 4, 1.0, 1.0)]).update(w, dw, history, 0.1, 0.0, False, 1.0)
    assert np.isnan(w).tolist() == [False, True, False, False]


@pytest.mark.parametrize("count", [0, 1, 32_768, 100_003])
def test_sum_of_squares(count):
    x = np.random.standard_normal(count).astype(np.float32)
    sums = {make(0.0, [], threads=threads).sum_of_squares(x) for threads in (1, 2, 3)}
    assert len(sums) == 1
    np.testing.assert_allclose(sums.pop(), (x.astype(np.float64) ** 2).sum(), rtol=1e-12)


def test_sum_of_squares_does_not_overflow_where_float32_would():
    x = np.full(10, 1e25, np.float32)
    np.testing.assert_allclose(make(0.0, []).sum_of_squares(x), 1e51, rtol=1e-6)
