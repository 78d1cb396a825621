"""caffepy.cpu.accuracy: any number of threads, what is kept from pass to pass; the layer's tests have the rest."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from tests.reference.accuracy import accuracy


def run(threads, x, label, *settings):
    backend = get_backend("cpu", "float32", threads)
    op = backend.ops.Accuracy(backend, *settings)
    op.plan(x.shape)
    out, each = np.full(1, np.nan, np.float32), np.full(x.shape[1], np.nan, np.float32)
    op.forward(x, label, out, each)
    op.check()
    op.forward(x, label, out, None)
    return out, each


@pytest.mark.parametrize("shape", [(70, 5, 1), (3, 4, 50), (0, 3, 1), (2, 3, 0)])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_definition(shape, threads):
    x = np.random.randint(0, 3, shape).astype(np.float32)
    label = np.random.randint(0, shape[1], (shape[0], shape[2])).astype(np.float32)
    out, each = run(threads, x, label, 2, 1)
    share, of_each = accuracy(x, label, 2, 1)
    np.testing.assert_allclose(out, share, rtol=1e-6)
    np.testing.assert_allclose(each, of_each, rtol=1e-6)


def test_nothing_is_allocated():
    backend = get_backend("cpu", "float32", 1)
    op = backend.ops.Accuracy(backend, 5, None)
    op.plan((500, 1000, 1))
    x, label, out, each = np.zeros((500, 1000), np.float32), np.zeros(500, np.float32), np.zeros(1), np.zeros(1000)
    op.forward(x, label, out, each)
    tracemalloc.start()
    try:
        op.forward(x, label, out, each)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_a_bad_label_is_forgotten_after_the_next_pass():
    backend = get_backend("cpu", "float32", 1)
    op = backend.ops.Accuracy(backend, 1, None)
    op.plan((2, 3, 1))
    x, out = np.zeros((2, 3), np.float32), np.zeros(1, np.float32)
    op.forward(x, np.array([0, 3], np.float32), out, None)
    with pytest.raises(LayerError, match=r"label 3 of sample 1 .* not in 0\.\.2.*label_value < num_labels"):
        op.check()
    op.forward(x, np.array([0, 2], np.float32), out, None)
    op.check()
