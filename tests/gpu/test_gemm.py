"""Products of matrices on the GPU against the CPU's and NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.testing import poisoned
from tests.gpu.twins import both, on


def near(dtype):
    return {"rtol": 1e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}


# rows, inputs, outputs
SIZES = [(1, 1, 1), (1, 7, 5), (4, 3, 1), (3, 1, 4), (5, 9, 2), (7, 13, 11), (2, 6, 300), (40, 130, 33), (0, 3, 4)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_twins(cpu, gpu, dtype, sizes, transpose, bias):
    rows, inputs, outputs = sizes
    random = np.random.default_rng(rows)
    w_shape = (inputs, outputs) if transpose else (outputs, inputs)
    shapes = (rows, inputs), w_shape, (outputs,), (rows, outputs)
    x, w, b, dy = (random.standard_normal(shape) for shape in shapes)

    def run(backend):
        backend = poisoned(backend)
        op = backend.ops.InnerProduct(backend, transpose)
        op.plan((rows, inputs), (rows, outputs))
        xs, ws, dys = on(backend, x), on(backend, w), on(backend, dy)
        y, dx = backend.empty((rows, outputs)), backend.empty((rows, inputs))
        dw, db = on(backend, np.full(w_shape, 3.0)), on(backend, np.full(outputs, -2.0))
        op.forward(xs, ws, on(backend, b) if bias else None, y)
        op.backward_data(dys, ws, dx)
        for _ in range(2):
            op.backward_filter(xs, dys, dw)
            op.backward_bias(dys, db)
        return y, dx, dw, db

    for name, a, b in zip(("y", "dx", "dw", "db"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_allclose(b, a, **near(dtype), err_msg=name)


def test_a_bias_gradient_of_many_rows_keeps_its_digits(gpu):
    # 100,003 times 0.1: a float32 sum, one after the other, is off in the fourth digit.
    dy, db = gpu.asarray(np.full((100_003, 3), 0.1)), gpu.zeros((3,))
    gpu.ops.InnerProduct(gpu, False).backward_bias(dy, db)
    np.testing.assert_allclose(gpu.to_host(db), 100_003 * float(gpu.dtype.type(0.1)), rtol=1e-6)


@pytest.mark.parametrize("stored", ["float16", "float32", "float64"])
@pytest.mark.parametrize("count", [None, 3])
@pytest.mark.parametrize("left_t", [False, True])
@pytest.mark.parametrize("right_t", [False, True])
@pytest.mark.parametrize("add", [False, True])
def test_products(gpu, stored, count, left_t, right_t, add):
    """Both factors transposed or not, one product or several, rows that lie apart, one factor for all."""
    from caffepy.gpu._blas import product

    random = np.random.default_rng(7)
    some = () if count is None else (count,)
    left = random.standard_normal((*some, 6, 4) if left_t else (*some, 4, 6)).astype(stored)
    right = random.standard_normal((5, 6) if right_t else (6, 5)).astype(stored)
    start = np.full((*some, 4, 5), 2.0 if add else np.nan, stored)
    # Every second row of wider ones.
    wide = np.full((10, 8) if right_t else (12, 8), np.nan, stored)
    wide[::2, : right.shape[1]] = right
    out, apart = on(gpu, start, stored), on(gpu, wide, stored)[::2, : right.shape[1]]
    product(on(gpu, left, stored), apart, out, left_t, right_t, add)

    wider = (a.astype(np.float64) for a in (left, right))
    l, r = (np.swapaxes(a, -1, -2) if t else a for a, t in zip(wider, (left_t, right_t), strict=True))  # noqa: E741
    rtol, atol = {"float16": (1e-2, 1e-2), "float32": (1e-4, 1e-5), "float64": (1e-11, 1e-12)}[stored]
    np.testing.assert_allclose(gpu.to_host(out), l @ r + (2.0 if add else 0.0), rtol=rtol, atol=atol)


@pytest.mark.parametrize("add", [False, True])
def test_a_product_of_nothing(gpu, add):
    from caffepy.gpu._blas import product

    out = on(gpu, np.ones((2, 3)))
    product(gpu.empty((2, 0)), gpu.empty((0, 3)), out, add=add)
    np.testing.assert_array_equal(gpu.to_host(out), np.full((2, 3), float(add)))


def test_half_products_are_added_up_in_float(gpu):
    # Halves end at 65,504, and above 2,048 they cannot count.
    from caffepy.gpu._blas import product

    ones, halves = on(gpu, np.ones((1, 4000)), "float16"), on(gpu, np.full((4000, 1), 0.25), "float16")
    out = gpu.empty((1, 1), "float16")
    product(ones, halves, out)
    assert gpu.to_host(out)[0, 0] == 1000


def test_floats_are_not_rounded_to_tf32(gpu, dtype):
    # TF32 keeps ten bits of a factor.
    from caffepy.gpu._blas import product

    value = 1 + 2.0**-20
    x, y, out = on(gpu, np.full((64, 64), value)), on(gpu, np.eye(64)), gpu.empty((64, 64))
    product(x, y, out)
    np.testing.assert_array_equal(gpu.to_host(out), np.full((64, 64), value, dtype))


def test_products_are_captured_in_graphs(gpu):
    """CuPy's own calls of cuBLAS are not."""
    import cupy

    op = gpu.ops.InnerProduct(gpu, False)
    x, w, b, y = gpu.zeros((3, 4)), on(gpu, np.ones((2, 4))), on(gpu, np.ones(2)), gpu.zeros((3, 2))
    op.forward(x, w, b, y)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        stream.begin_capture()
        op.forward(x, w, b, y)
        graph = stream.end_capture()
        x.fill(2)
        graph.launch(stream)
        stream.synchronize()
    np.testing.assert_array_equal(gpu.to_host(y), np.full((3, 2), 9.0))


def test_each_stream_waits_for_its_own(gpu):
    """The handle goes where CuPy's current stream goes."""
    import cupy

    from caffepy.gpu._blas import product

    x, outs = on(gpu, np.eye(3)), [gpu.zeros((3, 3)) for _ in range(3)]
    cupy.cuda.get_current_stream().synchronize()
    for out in outs:
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream:
            product(x, x, out)
            stream.synchronize()
            np.testing.assert_array_equal(cupy.asnumpy(out, stream=stream), np.eye(3))


def test_what_cublas_refuses_is_said(gpu, monkeypatch):
    from caffepy.errors import BackendError
    from caffepy.gpu import _blas

    monkeypatch.setattr(_blas, "_TYPES", {name: (99, 1234, t[2]) for name, t in _blas._TYPES.items()})
    x = on(gpu, np.eye(3))
    with pytest.raises(BackendError, match=r"cublasGemmStridedBatchedEx failed: .*device-query"):
        _blas.product(x, x, gpu.empty((3, 3)))
