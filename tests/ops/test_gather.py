"""caffepy.cpu.gather: rows picked, put back, and numbers that are no rows."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend


def make(rows, picks, dtype="float32", threads=None):
    backend = get_backend("cpu", dtype, threads)
    op = backend.ops.Gather(backend)
    op.plan(rows, picks)
    return op


def filled(shape, dtype="float32"):
    return np.random.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 5, 64])
def test_there_and_back(width, dtype):
    index = [3, 0, 3, 1, 3, 5]
    op = make(6, len(index), dtype, 2)
    op.set_index(np.array(index, dtype), True)
    assert op.first_bad() is None
    x, dy = filled((6, width), dtype), filled((6, width), dtype)
    y, dx = np.full((6, width), np.nan, dtype), np.full((6, width), 2, dtype)
    op.forward(x, y)
    op.backward(dy, dx)
    want = np.full((6, width), 2.0)
    for m, row in enumerate(index):
        assert (y[m] == x[row]).all()
        want[row] += dy[m]
    np.testing.assert_allclose(dx, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "whole", "place"),
    [
        ([0, 3, 1], True, -1),
        ([0, 3.5, 1], False, -1),
        ([0, 3.5, 1], True, 1),
        ([0, 1, 4], False, 2),
        ([4.5, -1, 0], False, 0),
        ([0, -0.5, 9], False, 1),
        ([0, np.nan, 9], False, 1),
        ([0, 1, np.inf], False, 2),
    ],
)
def test_the_first_number_that_is_no_row(numbers, whole, place):
    op = make(4, 3)
    op.set_index(np.array(numbers, np.float32), whole)
    assert op.first_bad() == (None if place < 0 else (place, pytest.approx(numbers[place], nan_ok=True)))


def test_fractions_are_cut_off():
    op = make(3, 2)
    op.set_index(np.array([1.9, 0.5], np.float32), False)
    assert op.first_bad() is None
    y = np.empty((2, 1), np.float32)
    op.forward(np.array([[10], [11], [12]], np.float32), y)
    assert y.ravel().tolist() == [11, 10]


def test_selected():
    op = make(5, 5)
    for selector, rows in (([0, 1, 0, -2, np.nan], [1, 3, 4]), ([0] * 5, []), ([1] * 5, [0, 1, 2, 3, 4])):
        assert op.set_selected(np.array(selector, np.float32)) == len(rows)
        x, y = filled((5, 2)), np.full((len(rows), 2), np.nan, np.float32)
        op.forward(x, y)
        assert (y == x[rows]).all()
        dx = np.zeros((5, 2), np.float32)
        op.backward(y, dx)
        assert (dx[rows] == x[rows]).all()
        assert np.count_nonzero(dx) == 2 * len(rows)


def test_another_size():
    op = make(2, 1)
    op.plan(7, 4)
    op.set_index(np.array([6, 0, 1, 6], np.float32), True)
    assert op.first_bad() is None
    x, y = filled((7, 3)), np.empty((4, 3), np.float32)
    op.forward(x, y)
    assert (y == x[[6, 0, 1, 6]]).all()


def test_threads_do_not_change_bits():
    index = np.random.randint(0, 4, 1000).astype(np.float32)
    dy, results = filled((1000, 9)), []
    for threads in (1, 3):
        op = make(4, 1000, threads=threads)
        op.set_index(index, True)
        dx = np.zeros((4, 9), np.float32)
        op.backward(dy, dx)
        results.append(dx)
    assert (results[0] == results[1]).all()
