"""Gather on the GPU against the CPU's, to the bit: the same sums in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.twins import both, on


@pytest.mark.parametrize(("rows", "columns", "picks"), [(1, 1, 1), (5, 3, 40), (300, 2, 300), (4, 3, 0), (4, 0, 2)])
def test_twins(cpu, gpu, rows, columns, picks):
    random = np.random.default_rng(7)
    x, dy, start = (random.standard_normal(shape) for shape in ((rows, columns), (picks, columns), (rows, columns)))
    numbers = random.integers(0, rows, picks) + 0.5

    def run(backend):
        op = backend.ops.Gather(backend)
        op.plan(rows, picks)
        op.set_index(on(backend, numbers), False)
        y, dx = backend.empty((picks, columns)), on(backend, start)
        op.forward(on(backend, x), y)
        # Twice: what is kept for a row's picks must not stay.
        op.backward(on(backend, dy), dx)
        op.backward(on(backend, dy), dx)
        return y, dx

    for name, a, b in zip(("y", "dx"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a, err_msg=name)


@pytest.mark.parametrize(
    ("numbers", "whole", "bad"),
    [
        ([0, 1, 3], True, (2, 3.0)),
        ([1, 1.5, -1], True, (1, 1.5)),
        ([1, 1.5, -1], False, (2, -1.0)),
        ([2, 0], True, None),
    ],
)
def test_bad_numbers(cpu, gpu, numbers, whole, bad):
    def run(backend):
        op = backend.ops.Gather(backend)
        op.plan(3, len(numbers))
        op.set_index(on(backend, np.array(numbers)), whole)
        assert op.first_bad() == bad
        y = backend.empty((len(numbers), 2))
        op.forward(on(backend, np.arange(6).reshape(3, 2)), y)
        return (y,)

    (a,), (b,) = both(run, cpu, gpu)
    np.testing.assert_array_equal(b, a)


def test_nan_is_no_row(gpu):
    op = gpu.ops.Gather(gpu)
    op.plan(3, 2)
    op.set_index(on(gpu, np.array([0, np.nan])), False)
    op.set_index(on(gpu, np.array([0, 1])), False)
    place, value = op.first_bad()
    assert place == 1
    assert np.isnan(value)
    assert op.first_bad() is None


@pytest.mark.parametrize("selector", [[0, 1, 0, -2, np.nan], [0] * 5, [1] * 70, [0, 3, 1] * 30, []])
def test_selected(cpu, gpu, selector):
    rows = len(selector)

    def run(backend):
        op = backend.ops.Gather(backend)
        op.plan(rows, rows)
        count = op.set_selected(on(backend, np.array(selector)))
        assert count == np.count_nonzero(selector)
        y, dx = backend.empty((count, 2)), backend.zeros((rows, 2))
        op.forward(on(backend, np.arange(2 * rows).reshape(rows, 2)), y)
        op.backward(y, dx)
        return y, dx

    for name, a, b in zip(("y", "dx"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_array_equal(b, a, err_msg=name)
