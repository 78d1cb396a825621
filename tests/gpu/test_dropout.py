"""Dropout on the GPU against the CPU's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.backend import Counter
from caffepy.random import Stream
from tests.gpu.twins import both, on

KEY = Stream(1701, "drop6", "dropout").key


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("shape", [(1,), (3, 7, 5), (4, 1000), (0, 3)])
def test_twins(cpu, gpu, ratio, shape):
    random = np.random.default_rng(1)
    x, dy = random.standard_normal(shape), random.standard_normal(shape)

    def run(backend):
        counter = Counter(2**32 + 7)
        op = backend.ops.Dropout(backend, ratio, KEY, counter)
        op.plan(shape)
        xs, dys, y, dx = on(backend, x), on(backend, dy), backend.empty(shape), backend.empty(shape)
        op.forward(xs, y)
        # As in a net run by hand, the counter has moved on when backward comes.
        counter.value += 1
        op.backward(dys, dx)
        op.forward(xs, xs)
        op.backward(dys, dys)
        return y, dx, xs, dys

    for name, a, b in zip(("y", "dx", "y in place", "dx in place"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_what_is_dropped_is_multiplied_by_zero(cpu, gpu):
    x = np.resize([np.nan, np.inf, -1.0], 60)

    def run(backend):
        y = backend.empty(x.shape)
        backend.ops.Dropout(backend, 0.5, KEY, Counter()).forward(on(backend, x), y)
        return (y,)

    (a,), (b,) = both(run, cpu, gpu)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.signbit(a[2::3]), np.signbit(b[2::3]))


def test_a_word_that_is_the_threshold_is_kept(cpu, gpu):
    word = int(Stream(1701, "drop6", "dropout").bits(6, step=3)[5])

    def run(backend):
        y = backend.empty((6,))
        backend.ops.Dropout(backend, word / 2**32, KEY, Counter(3)).forward(on(backend, np.ones(6)), y)
        return (y,)

    (a,), (b,) = both(run, cpu, gpu)
    np.testing.assert_array_equal(a, b)
    assert b[5] > 1


def test_each_pass_drops_others(gpu):
    counter = Counter()
    op = gpu.ops.Dropout(gpu, 0.5, KEY, counter)
    masks = []
    for counter.value in (0, 1, 0):
        y = gpu.empty((64,))
        op.forward(gpu.asarray(np.ones(64)), y)
        masks.append(gpu.to_host(y))
    np.testing.assert_array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[1])
