"""caffepy.cpu.multinomial_loss against the definition; labels that are no class; small probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from tests.reference.multinomial_loss import multinomial_loss, multinomial_loss_gradient


def make(shape, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.MultinomialLoss(backend)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    prob = np.random.uniform(0.01, 1, shape).astype(dtype)
    return prob, np.random.randint(0, shape[1], shape[0]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 4)])
def test_definition(shape, dtype):
    prob, label = draw(shape, dtype)
    op, out, dx = make(shape, dtype), np.full(1, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(prob, label, out)
    np.testing.assert_allclose(out, [multinomial_loss(prob, label)], rtol=1e-6)
    op.backward(prob, label, np.array([0.7], dtype), dx)
    np.testing.assert_allclose(dx, multinomial_loss_gradient(prob, label, 0.7), rtol=1e-6)
    op.backward(prob, label, np.array(0.7, dtype), prob)
    assert (prob == dx).all()


def test_small_probabilities_count_as_caffe_s_smallest():
    prob = np.array([[0.0, 1.0], [1e-30, 1.0]], np.float32)
    op, out, dx = make((2, 2)), np.empty(1, np.float32), np.empty((2, 2), np.float32)
    op.forward(prob, np.zeros(2, np.float32), out)
    op.backward(prob, np.zeros(2, np.float32), np.ones(1, np.float32), dx)
    np.testing.assert_allclose(out, [40 * np.log(10)], rtol=1e-6)
    np.testing.assert_allclose(dx, [[-1e20, 0], [-1e20, 0]], rtol=1e-6)


def test_nan_stays():
    out = np.empty(1, np.float32)
    make((1, 2)).forward(np.array([[np.nan, 1]], np.float32), np.zeros(1, np.float32), out)
    assert np.isnan(out[0])


def test_the_sum_does_not_depend_on_threads():
    prob, label = draw((37, 11))
    sums = []
    for threads in (1, 2, 3):
        out = np.empty(1, np.float32)
        make(prob.shape, threads=threads).forward(prob, label, out)
        sums.append(out[0])
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize("value", [3, -1, np.nan, np.inf, 1e30])
def test_labels_that_are_no_class(value):
    prob, label = draw((4, 3))
    label[2] = value
    op, out = make((4, 3)), np.empty(1, np.float32)
    op.forward(prob, label, out)
    with pytest.raises(LayerError, match=r"of sample 2 in the batch is not in 0\.\.2: there are 3 classes"):
        op.check()
    # The bad label is passed over.
    good = [0, 1, 3]
    expected = -np.log(prob[good, label[good].astype(int)].astype(np.float64)).sum()
    np.testing.assert_allclose(out, [expected], rtol=1e-6)
