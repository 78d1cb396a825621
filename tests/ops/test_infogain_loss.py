"""caffepy.cpu.infogain_loss against the definition; labels that are no class."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from tests.reference.infogain_loss import infogain_loss, infogain_loss_gradient
from tests.reference.softmax import softmax


def make(shape, ignore_label=None, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.InfogainLoss(backend, ignore_label)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    prob = softmax(np.random.standard_normal(shape)).astype(dtype)
    label = np.random.randint(0, shape[1], (shape[0], shape[2])).astype(dtype)
    return prob, label, np.random.uniform(-0.5, 1, (shape[1], shape[1])).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ignore_label", [None, 1, -1, 255])
@pytest.mark.parametrize("shape", [(1, 2, 1), (5, 3, 1), (3, 4, 6)])
def test_definition(shape, ignore_label, dtype):
    prob, label, h = draw(shape, dtype)
    if ignore_label is not None:
        label.flat[::3] = ignore_label
    op = make(shape, ignore_label, dtype)
    out, dx = np.full(2, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(prob, label, h, out)
    np.testing.assert_allclose(out, infogain_loss(prob, label, h, ignore_label), rtol=1e-5, atol=1e-6)
    op.backward(prob, label, h, np.array([0.7], dtype), dx)
    expected = infogain_loss_gradient(prob, label, h, 0.7, ignore_label)
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)
    op.backward(prob, label, h.ravel(), np.array(0.7, dtype), prob)
    assert (prob == dx).all()


def test_probability_zero_counts_as_caffe_s_smallest():
    out = np.empty(2, np.float32)
    prob, h = np.array([[[0.0], [1.0]]], np.float32), np.array([[2, 0], [0, 0]], np.float32)
    make((1, 2, 1)).forward(prob, np.zeros((1, 1), np.float32), h, out)
    np.testing.assert_allclose(out, [40 * np.log(10), 1], rtol=1e-6)


def test_nan_stays():
    out = np.empty(2, np.float32)
    prob = np.array([[[np.nan], [1.0]]], np.float32)
    make((1, 2, 1)).forward(prob, np.zeros((1, 1), np.float32), np.eye(2, dtype=np.float32), out)
    assert np.isnan(out[0])


def test_all_ignored():
    prob, label, h = draw((2, 3, 1))
    op, out, dx = make((2, 3, 1), 2), np.empty(2, np.float32), np.full((2, 3, 1), np.nan, np.float32)
    label[:] = 2
    op.forward(prob, label, h, out)
    op.backward(prob, label, h, np.ones(1, np.float32), dx)
    assert (out == 0).all()
    assert (dx == 0).all()


def test_the_sum_does_not_depend_on_threads():
    prob, label, h = draw((37, 3, 11))
    sums = []
    for threads in (1, 2, 3):
        out = np.empty(2, np.float32)
        make(prob.shape, threads=threads).forward(prob, label, h, out)
        sums.append(out)
    assert (sums[0] == sums[1]).all()
    assert (sums[0] == sums[2]).all()


@pytest.mark.parametrize("value", [3, -1, np.nan, np.inf, 1e30])
def test_labels_that_are_no_class(value):
    prob, label, h = draw((4, 3, 5))
    label[2, 3] = label[3, 4] = value
    for threads in (1, 3):
        op = make((4, 3, 5), 255, threads=threads)
        op.forward(prob, label, h, np.empty(2, np.float32))
        with pytest.raises(LayerError, match=r"of sample 2, position 3 in the batch is not in 0\.\.2.*ignore_label"):
            op.check()


def test_backward_passes_over_a_label_that_is_no_class():
    prob, _, h = draw((3, 4, 1))
    dx = np.full(prob.shape, np.nan, np.float32)
    make(prob.shape).backward(prob, np.array([7, -1, np.nan], np.float32), h, np.ones(1, np.float32), dx)
    assert (dx == 0).all()
