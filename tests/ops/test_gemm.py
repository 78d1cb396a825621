"""caffepy.cpu.gemm against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.testing import poisoned
from tests.reference.inner_product import inner_product, inner_product_gradients

# rows, inputs, outputs
SIZES = [(1, 1, 1), (1, 7, 5), (4, 3, 1), (3, 1, 4), (5, 9, 2), (7, 13, 11), (2, 6, 131), (2, 130, 5)]


def arrays(rows, inputs, outputs, transpose, dtype="float64"):
    random = np.random.default_rng(rows)
    w_shape = (inputs, outputs) if transpose else (outputs, inputs)
    shapes = (rows, inputs), w_shape, (outputs,), (rows, outputs)
    return [random.standard_normal(shape).astype(dtype) for shape in shapes]


def make(transpose, dtype="float64", threads=2):
    backend = poisoned(get_backend("cpu", dtype, threads))
    return backend.ops.InnerProduct(backend, transpose)


def passes(op, x, w, b, dy, start=0.0):
    op.plan(x.shape, dy.shape)
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    dw, db = np.full_like(w, start), np.full_like(b, start)
    op.forward(x, w, b, y)
    op.backward_bias(dy, db)
    op.backward_filter(x, dy, dw)
    op.backward_data(dy, w, dx)
    return y, dx, dw, db


def check(results, x, w, b, dy, transpose):
    near = {"rtol": 1e-4, "atol": 2e-5} if x.dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}
    x, w, b, dy = (a.astype(np.float64) for a in (x, w, b, dy))
    expected = inner_product(x, w, b, transpose), *inner_product_gradients(x, w, dy, transpose)
    for got, want, what in zip(results, expected, ("y", "dx", "dw", "db"), strict=True):
        np.testing.assert_allclose(got, want, **near, err_msg=what)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(("dtype", "threads"), [("float32", 1), ("float32", 2), ("float32", 3), ("float64", 2)])
def test_definition(sizes, transpose, dtype, threads):
    values = arrays(*sizes, transpose, dtype)
    check(passes(make(transpose, dtype, threads), *values), *values, transpose)


@pytest.mark.parametrize("transpose", [False, True])
def test_without_bias(transpose):
    x, w, _b, dy = arrays(5, 9, 4, transpose)
    op = make(transpose)
    op.plan(x.shape, dy.shape)
    y = np.full_like(dy, np.nan)
    op.forward(x, w, None, y)
    np.testing.assert_allclose(y, inner_product(x, w, None, transpose), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("transpose", [False, True])
def test_gradients_of_parameters_accumulate(sizes, transpose):
    values = arrays(*sizes, transpose)
    op = make(transpose)
    _, _, dw, db = passes(op, *values)
    _, _, more_dw, more_db = passes(op, *values, start=100.0)
    np.testing.assert_allclose(more_dw, dw + 100, rtol=1e-12)
    np.testing.assert_allclose(more_db, db + 100, rtol=1e-12)


@pytest.mark.parametrize("transpose", [False, True])
def test_other_numbers_of_rows_and_back(transpose):
    op = make(transpose)
    for rows in (3, 1, 20, 3):
        values = arrays(rows, 11, 6, transpose)
        check(passes(op, *values), *values, transpose)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("transpose", [False, True])
def test_more_weights_than_are_computed_together(threads, transpose):
    # 1,003 rows of a gradient: several blocks in each thread, the last of them not full.
    random = np.random.default_rng(1)
    x, dy = random.standard_normal((6, 1003)), random.standard_normal((6, 1001))
    dw = np.ones((1003, 1001) if transpose else (1001, 1003))
    op = make(transpose, threads=threads)
    op.plan(x.shape, dy.shape)
    op.backward_filter(x, dy, dw)
    expected = np.einsum("ik,in->kn" if transpose else "ik,in->nk", x, dy) + 1
    np.testing.assert_allclose(dw, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("transpose", [False, True])
def test_gradients_are_differences_of_forward(transpose):
    x, w, b, dy = arrays(3, 5, 4, transpose)
    op = make(transpose)
    _, *grads = passes(op, x, w, b, dy)
    y = np.empty_like(dy)

    def loss():
        op.forward(x, w, b, y)
        return float(np.vdot(y, dy))

    for values, grad in zip((x, w, b), grads, strict=True):
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + 1e-3
            above = loss()
            values[place] = kept - 1e-3
            below = loss()
            values[place] = kept
            assert (above - below) / 2e-3 == pytest.approx(grad[place], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("transpose", [False, True])
def test_each_run_gives_the_same_bits(transpose):
    values = arrays(7, 130, 33, transpose, "float32")
    op = make(transpose, "float32", 3)
    for left, right in zip(passes(op, *values), passes(op, *values), strict=True):
        assert (left == right).all()


def test_a_bias_gradient_of_many_rows_keeps_its_digits():
    # 100,003 times 0.1: a float32 sum, one after the other, is off in the fourth digit.
    dy = np.full((100_003, 3), 0.1, np.float32)
    db = np.zeros(3, np.float32)
    op = make(False, "float32")
    op.plan((100_003, 2), dy.shape)
    op.backward_bias(dy, db)
    np.testing.assert_allclose(db, 100_003 * float(np.float32(0.1)), rtol=1e-6)
