"""caffepy.cpu.dropout: the units that caffepy.random says, whatever the threads; no memory but the step."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.backend import Counter
from caffepy.devices import get_backend
from caffepy.random import Stream
from tests.reference.dropout import dropout

KEY = Stream(1, "drop6", "dropout").key


def make(ratio, step=0, dtype="float32", threads=None, key=KEY):
    backend = get_backend("cpu", dtype, threads)
    counter = Counter(step)
    return backend.ops.Dropout(backend, ratio, key, counter), counter


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, float(np.float32(0.3)), 0.99])
@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (2, 3, 5)])
@pytest.mark.parametrize("step", [0, 1, 2**32 + 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_definition(ratio, shape, step, dtype):
    x = np.random.standard_normal(shape).astype(dtype)
    op, _ = make(ratio, step, dtype)
    op.plan(shape)
    y = np.full(shape, np.nan, dtype)
    op.forward(x, y)
    np.testing.assert_allclose(y, dropout(x, ratio, KEY, step), rtol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [32_768, 32_769, 100_003, 3_000_001])
def test_any_number_of_threads_drops_the_units_of_the_stream(threads, count):
    x = np.ones(count, np.float32)
    op, _ = make(0.5, 3, threads=threads)
    op.forward(x, x)
    kept = Stream(1, "drop6", "dropout").bits(count, 3) >= 2**31
    assert (x == np.where(kept, 2, 0)).all()


def test_backward_is_of_the_last_forward():
    op, counter = make(0.5, 5)
    x = np.ones(10_000, np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)
    op.forward(x, y)
    # The net has gone on counting when backward comes.
    counter.value = 6
    op.backward(x, dx)
    assert (dx == y).all()
    op.backward(x, x)
    assert (x == y).all()
    op.forward(np.ones_like(x), y)
    assert (y != dx).any()


def test_key_and_step_choose_the_units():
    x, masks = np.ones(1000, np.float32), []
    for key, step in (((1, 2), 0), ((1, 3), 0), ((2, 2), 0), ((1, 2), 1), ((1, 2), 2**32)):
        y = np.empty_like(x)
        make(0.5, step, key=key)[0].forward(x, y)
        masks.append(tuple(y))
    assert len(set(masks)) == 5


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_shares_and_mean(ratio):
    x = np.ones(400_000, np.float32)
    y = np.empty_like(x)
    make(ratio)[0].forward(x, y)
    error = np.sqrt(ratio * (1 - ratio) / len(x))
    assert abs((y == 0).mean() - ratio) < 5 * error
    assert abs(y.mean(dtype=np.float64) - 1) < 5 * error / (1 - ratio)


def test_ratio_zero_keeps_all():
    x = np.random.standard_normal(1000).astype(np.float32)
    y = np.empty_like(x)
    make(0.0)[0].forward(x, y)
    assert (x == y).all()
