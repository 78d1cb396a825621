"""Stochastic pooling on the GPU against the CPU's: the same draws to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.backend import Counter
from caffepy.random import Stream
from tests.gpu.twins import both, on

KEY = Stream(1701, "pool", "stochastic_pooling").key


def run(train, x, dy, kernel, stride, steps=(3,)):
    def passes(backend):
        counter = Counter()
        op = backend.ops.StochasticPool(backend, kernel, stride, KEY, counter, train)
        op.plan(x.shape, dy.shape)
        found = []
        for step in steps:
            counter.value = step
            y, dx = backend.empty(dy.shape), backend.zeros(x.shape)
            op.forward(on(backend, x), y)
            counter.value += 1
            if train:
                op.backward(on(backend, dy), dx)
            found += [y, dx]
        return found

    return passes


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "output"),
    [
        ((3, 2, 7, 9), (3, 3), (2, 2), (3, 4)),
        ((2, 1, 6, 5), (3, 2), (2, 2), (3, 3)),
        ((1, 2, 5, 5), (5, 5), (1, 1), (1, 1)),
        ((0, 2, 4, 4), (2, 2), (2, 2), (2, 2)),
    ],
)
def test_twins(cpu, gpu, train, shape, kernel, stride, output):
    random = np.random.default_rng(0)
    x, dy = np.maximum(random.standard_normal(shape), 0), random.standard_normal((*shape[:2], *output))
    steps = (0, 5, 2**33 + 1)
    ours, theirs = both(run(train, x, dy, kernel, stride, steps), cpu, gpu)
    for a, b in zip(ours, theirs, strict=True):
        if train:
            np.testing.assert_array_equal(b, a)
        else:
            np.testing.assert_allclose(b, a, rtol=1e-6)
    if train and x.size:
        assert not np.array_equal(theirs[1], theirs[3]), "another step draws others"


@pytest.mark.parametrize("train", [True, False])
def test_windows_of_zeros(cpu, gpu, train):
    (y, dx), (y2, dx2) = both(run(train, np.zeros((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), (2, 2), (2, 2)), cpu, gpu)
    np.testing.assert_array_equal(y2, y)
    np.testing.assert_array_equal(dx2, dx)
    assert not y2.any()
    assert dx2[0, 0, ::2, ::2].all() == train
