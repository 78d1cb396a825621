"""caffepy.cpu.softmax_loss against the definition; labels that are no class."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from tests.reference.softmax import softmax
from tests.reference.softmax_loss import softmax_loss, softmax_loss_gradient


def make(shape, ignore_label=None, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.SoftmaxLoss(backend, ignore_label)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    prob = softmax(np.random.standard_normal(shape)).astype(dtype)
    label = np.random.randint(0, shape[1], (shape[0], shape[2])).astype(dtype)
    return prob, label


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ignore_label", [None, 1, -1, 255])
@pytest.mark.parametrize("shape", [(1, 2, 1), (5, 3, 1), (3, 4, 6)])
def test_definition(shape, ignore_label, dtype):
    prob, label = draw(shape, dtype)
    if ignore_label is not None:
        label.flat[::3] = ignore_label
    op = make(shape, ignore_label, dtype)
    out, dx = np.full(2, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(prob, label, out)
    np.testing.assert_allclose(out, softmax_loss(prob, label, ignore_label), rtol=1e-6)
    op.backward(prob, label, np.array([0.7], dtype), dx)
    np.testing.assert_allclose(
        dx, softmax_loss_gradient(prob, label, 0.7, ignore_label), rtol=1e-5, atol=1e-7 if dtype == "float32" else 1e-14
    )
    op.backward(prob, label, np.array(0.7, dtype), prob)
    assert (prob == dx).all()


def test_shapes_of_as_many_elements():
    prob, label = draw((2, 3, 4))
    op = make((2, 3, 4))
    out, again = np.empty(2, np.float32), np.empty(2, np.float32)
    op.forward(prob, label, out)
    op.forward(prob.reshape(2, 3, 2, 2), label.reshape(2, 1, 2, 2), again)
    assert (out == again).all()


def test_probability_zero_counts_as_the_smallest_float32():
    prob = np.array([[[0.0], [1.0]]], np.float32)
    out = np.empty(2, np.float32)
    make((1, 2, 1)).forward(prob, np.zeros((1, 1), np.float32), out)
    np.testing.assert_allclose(out, [126 * np.log(2), 1], rtol=1e-6)


def test_nan_stays():
    prob = np.array([[[np.nan], [1.0]]], np.float32)
    out = np.empty(2, np.float32)
    make((1, 2, 1)).forward(prob, np.zeros((1, 1), np.float32), out)
    assert np.isnan(out[0])


def test_all_ignored():
    prob, label = draw((2, 3, 1))
    op, out, dx = make((2, 3, 1), 2), np.empty(2, np.float32), np.full((2, 3, 1), np.nan, np.float32)
    label[:] = 2
    op.forward(prob, label, out)
    op.backward(prob, label, np.ones(1, np.float32), dx)
    assert (out == 0).all()
    assert (dx == 0).all()


def test_the_sum_does_not_depend_on_threads():
    prob, label = draw((37, 3, 11))
    sums = []
    for threads in (1, 2, 3):
        out = np.empty(2, np.float32)
        make(prob.shape, threads=threads).forward(prob, label, out)
        sums.append(out)
    assert (sums[0] == sums[1]).all()
    assert (sums[0] == sums[2]).all()


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (3, r"label 3 of sample 2 in the batch is not in 0\.\.2: there are 3 .*check-data DATABASE -num_output"),
        (1000, r"Check failed: label_value < prob_\.shape\(softmax_axis_\) \(1000 vs\. 3\)"),
        (-1, r"label -1 of sample 2 .*Check failed: label_value >= 0 \(-1 vs\. 0\)"),
        (np.nan, r"label nan of sample 2"),
        (np.inf, r"label inf of sample 2"),
        (1e30, r"of sample 2 in the batch is not in 0\.\.2"),
    ],
)
def test_labels_that_are_no_class(value, match):
    prob, label = draw((4, 3, 1))
    label[2] = value
    op = make((4, 3, 1))
    op.forward(prob, label, np.empty(2, np.float32))
    with pytest.raises(LayerError, match=match):
        op.check()


def test_the_first_bad_label_is_named_by_its_place():
    prob, label = draw((4, 3, 5))
    label[1, 4] = 7
    label[1, 3] = label[3, 0] = 8
    for threads in (1, 3):
        op = make((4, 3, 5), threads=threads)
        op.forward(prob, label, np.empty(2, np.float32))
        with pytest.raises(LayerError, match=r"label 8 of sample 1, position 3 in the batch"):
            op.check()


def test_backward_passes_over_a_label_that_is_no_class():
    prob, _ = draw((3, 4, 1))
    dx = np.full(prob.shape, np.nan, np.float32)
    op = make(prob.shape)
    op.backward(prob, np.array([7, -1, np.nan], np.float32), np.ones(1, np.float32), dx)
    assert (dx == prob).all()


def test_a_label_ignored_by_another_number_is_still_bad():
    prob, label = draw((2, 3, 1))
    label[1] = 254
    op = make((2, 3, 1), 255)
    op.forward(prob, label, np.empty(2, np.float32))
    with pytest.raises(LayerError, match="label 254 of sample 1"):
        op.check()
