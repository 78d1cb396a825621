"""caffepy.cpu.hinge_loss against the definition; labels that are no class; NaN."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import LayerError
from tests.reference.hinge_loss import hinge_loss, hinge_loss_gradient


def make(shape, squared=False, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.HingeLoss(backend, squared)
    op.plan(shape)
    return op


def draw(shape, dtype="float32"):
    return np.random.standard_normal(shape).astype(dtype), np.random.randint(0, shape[1], shape[0]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 4)])
def test_definition(shape, squared, dtype):
    x, label = draw(shape, dtype)
    op, out, dx = make(shape, squared, dtype), np.full(1, np.nan, dtype), np.full(shape, np.nan, dtype)
    op.forward(x, label, out)
    np.testing.assert_allclose(out, [hinge_loss(x, label, 1 + squared)], rtol=1e-6)
    op.backward(x, label, np.array([0.7], dtype), dx)
    np.testing.assert_allclose(dx, hinge_loss_gradient(x, label, 1 + squared, 0.7), rtol=1e-5, atol=1e-7)
    op.backward(x, label, np.array(0.7, dtype), x)
    assert (x == dx).all()


def test_margins_that_are_met_have_no_gradient():
    x = np.array([[1, -1, -2.5]], np.float32)
    op, out, dx = make((1, 3)), np.empty(1, np.float32), np.empty((1, 3), np.float32)
    op.forward(x, np.zeros(1, np.float32), out)
    op.backward(x, np.zeros(1, np.float32), np.ones(1, np.float32), dx)
    assert out[0] == 0
    assert (dx == 0).all()


@pytest.mark.parametrize("squared", [False, True])
def test_nan_stays(squared):
    x, label = draw((3, 4))
    x[1, 2] = np.nan
    op, out, dx = make(x.shape, squared), np.empty(1, np.float32), np.empty_like(x)
    op.forward(x, label, out)
    op.backward(x, label, np.ones(1, np.float32), dx)
    assert np.isnan(out[0])
    assert np.isnan(dx[1, 2])
    assert np.isnan(dx).sum() == 1


def test_the_sum_does_not_depend_on_threads():
    x, label = draw((37, 11))
    sums = []
    for threads in (1, 2, 3):
        out = np.empty(1, np.float32)
        make(x.shape, threads=threads).forward(x, label, out)
        sums.append(out[0])
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (3, r"label 3 of sample 2 in the batch is not in 0\.\.2: there are 3 classes\. Check failed: label_value >= 0"),
        (-1, "label -1 of sample 2"),
        (np.nan, "label nan of sample 2"),
        (np.inf, "label inf of sample 2"),
        (1e30, "of sample 2 in the batch is not in"),
    ],
)
def test_labels_that_are_no_class(value, match):
    x, label = draw((4, 3))
    label[2] = value
    for threads in (1, 3):
        op = make((4, 3), threads=threads)
        op.forward(x, label, np.empty(1, np.float32))
        with pytest.raises(LayerError, match=match):
            op.check()


def test_a_good_batch_after_a_bad_one():
    x, label = draw((4, 3))
    op, out = make((4, 3)), np.empty(1, np.float32)
    op.forward(x, np.full(4, 9, np.float32), out)
    with pytest.raises(LayerError, match="label 9 of sample 0"):
        op.check()
    op.forward(x, label, out)
    op.check()
    np.testing.assert_allclose(out, [hinge_loss(x, label, 1)], rtol=1e-6)
