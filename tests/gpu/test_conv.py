"""Convolution on the GPU against the CPU's, by cuDNN and by kernels of our own."""

from __future__ import annotations

import logging
from contextlib import nullcontext

import numpy as np
import pytest

from caffepy.testing import poisoned
from tests.gpu.twins import both, on
from tests.ops.test_conv import SETTINGS, arrays

NAMES = list(SETTINGS)
#: What cuDNN refuses, or is not asked for: no such place, or no such number of axes.
REFUSED = {"window larger than the image", "dilated window larger than the image", "4-D"}


def near(dtype):
    return {"rtol": 1e-4, "atol": 3e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-12}


@pytest.fixture(params=["float32 by cuDNN", "float32 by our own", "float64 by our own"])
def kind(request):
    return request.param


@pytest.fixture
def dtype(kind):
    return kind.split()[0]


def on_one_way(*dtypes):
    """For tests that choose for themselves."""
    return pytest.mark.parametrize("dtype", dtypes)


def passes(backend, name, x, w, b, dy, batches=()):
    """y, dx, dw after two passes, db after two."""
    op = backend.ops.Conv(backend, *SETTINGS[name][1:])
    for batch in (*batches, len(x)):
        op.plan((batch, *x.shape[1:]), (batch, *dy.shape[1:]))
    xs, ws, dys = on(backend, x), on(backend, w), on(backend, dy)
    y, dx = on(backend, np.full(dy.shape, np.nan)), on(backend, np.full(x.shape, np.nan))
    dw, db = on(backend, np.full(w.shape, 2.0)), on(backend, np.full(len(w), -3.0))
    op.forward(xs, ws, None if b is None else on(backend, b), y)
    op.backward_data(dys, ws, dx)
    for _ in range(2):
        op.backward_filter(xs, dys, dw)
        op.backward_bias(dys, db)
    return op, (y, dx, dw, db)


def check(cpu, gpu, way, dtype, name, *values, **more):
    ops = []

    def run(backend):
        with way():
            op, results = passes(poisoned(backend), name, *values, **more)
        ops.append(op)
        return results

    for what, a, b in zip(("y", "dx", "dw", "db"), *both(run, cpu, gpu), strict=True):
        np.testing.assert_allclose(b, a, **near(dtype), err_msg=what)
    return ops[1]


@pytest.mark.parametrize("name", NAMES)
def test_twins(cpu, gpu, way, dtype, name):
    op = check(cpu, gpu, way, dtype, name, *arrays(name, "float64"))
    assert op._by_cudnn == (way is nullcontext and name not in REFUSED)


@pytest.mark.parametrize("name", ["plain", "groups", "1-D", "no axis", "3-D"])
def test_without_bias(cpu, gpu, way, dtype, name):
    x, w, _b, dy = arrays(name, "float64")
    check(cpu, gpu, way, dtype, name, x, w, None, dy)


@on_one_way("float32")
@pytest.mark.parametrize("name", ["plain", "pad and stride 2", "kernel is the padded image"])
@pytest.mark.parametrize("pass_takes", [0.0, 1e9])
def test_the_bias_at_once_or_after(cpu, gpu, dtype, monkeypatch, name, pass_takes):
    """cuDNN adds the bias itself, unless that takes it longer: here, always or never."""
    from caffepy.gpu import _cudnn, _cudnn_conv

    if _cudnn.library() is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    monkeypatch.setattr(_cudnn_conv, "_BIAS_PASS", pass_takes)
    op = check(cpu, gpu, nullcontext, dtype, name, *arrays(name, "float64"))
    assert (op._cudnn._biased is None) == (pass_takes > 1)


@pytest.mark.parametrize("name", ["pad and stride 2", "depthwise", "3-D"])
def test_other_batches_and_back(cpu, gpu, way, dtype, name):
    check(cpu, gpu, way, dtype, name, *arrays(name, "float64"), batches=(5, 1))


@on_one_way("float32", "float64")
@pytest.mark.parametrize("name", ["plain", "groups"])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_some_images_at_a_time(cpu, gpu, dtype, monkeypatch, name, together):
    """Columns of a whole batch may be too much: 7 images, one, two or three at a time."""
    from caffepy.gpu import _columns
    from caffepy.gpu._cudnn import without_cudnn

    x, w, b, dy = arrays(name, "float64", 7)
    a_column = w.size // len(w) * SETTINGS[name][-1] + len(w)
    monkeypatch.setattr(_columns, "_COLS_BYTES", together * a_column * dy[0, 0].size * gpu.dtype.itemsize)
    op = check(cpu, gpu, without_cudnn, dtype, name, x, w, b, dy)
    assert op._columns._together == together


@pytest.mark.parametrize("shape", [(0, 3, 7, 6), (2, 3, 0, 6)])
def test_nothing_to_convolve(gpu, way, shape):
    op = gpu.ops.Conv(gpu, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    w, b, x, y = gpu.zeros((4, 3, 3, 3)), gpu.zeros((4,)), gpu.zeros(shape), gpu.zeros((shape[0], 4, *shape[2:]))
    with way():
        op.plan(x.shape, y.shape)
    op.forward(x, w, b, y)
    op.backward_data(y, w, x)
    op.backward_filter(x, y, w)
    op.backward_bias(y, b)
    assert not gpu.to_host(w).any()
    assert not gpu.to_host(b).any()


@on_one_way("float32", "float64")
def test_no_output_gives_no_gradient(gpu, dtype):
    # A batch of images without a place where the window fits.
    op = gpu.ops.Conv(gpu, 2, (1, 1), (1, 1), (0, 0), (1, 1), 1)
    dx = on(gpu, np.full((2, 3, 1, 1), np.nan))
    op.plan((2, 3, 1, 1), (2, 2, 0, 1))
    op.backward_data(gpu.zeros((2, 2, 0, 1)), gpu.zeros((2, 3, 1, 1)), dx)
    assert not gpu.to_host(dx).any()


@pytest.mark.parametrize("moved", ["w", "b", "x", "dy"])
def test_arrays_that_begin_anywhere(cpu, gpu, way, dtype, moved):
    """Learnable blobs are views into one flat array, so they begin at any element; cuDNN reads none that do."""
    x, w, b, dy = arrays("groups", "float64")

    def place(backend, values, name):
        memory = backend.empty((values.size + 1,))
        start = int(name == moved)
        memory[start : values.size + start] = backend.asarray(values.ravel())
        return memory[start : values.size + start].reshape(values.shape)

    def run(backend):
        op = backend.ops.Conv(backend, *SETTINGS["groups"][1:])
        with way():
            op.plan(x.shape, dy.shape)
        xs, ws, bs, dys = (place(backend, *each) for each in ((x, "x"), (w, "w"), (b, "b"), (dy, "dy")))
        y, dx, dw = place(backend, dy, "dy"), place(backend, x, "x"), place(backend, np.ones(w.shape), "w")
        op.forward(xs, ws, bs, y)
        op.backward_filter(xs, dys, dw)
        op.backward_data(dys, ws, dx)
        return y, dx, dw

    for a, b_ in zip(*both(run, cpu, gpu), strict=True):
        np.testing.assert_allclose(b_, a, **near(dtype))


def test_nan_of_one_image_stays_there(gpu, way):
    x, w, b, dy = arrays("plain")
    x[1, 0, 0, 0] = np.nan
    with way():
        _op, (y, *_) = passes(gpu, "plain", x, w, b, dy)
    y = gpu.to_host(y)
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1, :, 0, 0]).all()


def test_each_run_gives_the_same_bits(gpu, way):
    values = arrays("pad and stride 2", batch=5)
    with way():
        first, second = ([gpu.to_host(a) for a in passes(gpu, "pad and stride 2", *values)[1]] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_passes_allocate_nothing_and_are_captured(gpu, way):
    import cupy

    x, w, b, dy = (on(gpu, values) for values in arrays("groups"))
    y, dx, dw, db = gpu.zeros(dy.shape), gpu.zeros(x.shape), gpu.zeros(w.shape), gpu.zeros(b.shape)
    op = gpu.ops.Conv(gpu, *SETTINGS["groups"][1:])
    with way():
        op.plan(x.shape, dy.shape)

    def run():
        op.forward(x, w, b, y)
        op.backward_bias(dy, db)
        op.backward_filter(x, dy, dw)
        op.backward_data(dy, w, dx)

    run()
    before = [gpu.to_host(a) for a in (y, dx, dw, db)]
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        run()
        stream.synchronize()
        used = cupy.get_default_memory_pool().used_bytes()
        stream.begin_capture()
        run()
        graph = stream.end_capture()
        assert cupy.get_default_memory_pool().used_bytes() == used
        for array in (y, dx, dw, db):
            array.fill(0)
        graph.launch(stream)
        stream.synchronize()
    for a, b in zip((y, dx, dw, db), before, strict=True):
        np.testing.assert_array_equal(gpu.to_host(a), b)


@on_one_way("float32", "float64")
def test_a_bias_gradient_of_many_places_keeps_its_digits(gpu):
    dy, db = gpu.asarray(np.full((3, 2, 40_000), 0.1)), gpu.zeros((2,))
    gpu.ops.Conv(gpu, 2, (1,), (1,), (0,), (1,), 1).backward_bias(dy, db)
    np.testing.assert_allclose(gpu.to_host(db), 120_000 * float(gpu.dtype.type(0.1)), rtol=1e-6)


@on_one_way("float32")
def test_what_cudnn_refuses_is_logged(gpu, caplog):
    from caffepy.gpu import _cudnn

    if _cudnn.library() is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    op = gpu.ops.Conv(gpu, 2, (2, 1, 1, 1), (1,) * 4, (0,) * 4, (1,) * 4, 1)
    with caplog.at_level(logging.INFO, "caffepy"):
        op.plan((1, 2, 3, 2, 3, 4), (1, 2, 2, 2, 3, 4))
    (line,) = [record.getMessage() for record in caplog.records if "convolution" in record.getMessage()]
    assert line.startswith("cuDNN does not do the convolution of x (1, 2, 3, 2, 3, 4) with w (2, 2, 2, 1, 1, 1)")
    assert "(it knows three spatial axes at most): it runs by cuBLAS" in line


@on_one_way("float32")
def test_the_log_says_once_which_way_convolutions_go(gpu, caplog, monkeypatch):
    import sys

    from caffepy.gpu import _cudnn

    monkeypatch.setitem(sys.modules, "cudnn", None)
    _cudnn._library.cache_clear()
    op = gpu.ops.Conv(gpu, 2, (3, 3), (1, 1), (0, 0), (1, 1), 1)
    try:
        with caplog.at_level(logging.INFO, "caffepy"):
            for batch in (1, 2):
                op.plan((batch, 2, 5, 5), (batch, 2, 3, 3))
    finally:
        _cudnn._library.cache_clear()
    (line,) = [record.getMessage() for record in caplog.records if "Convolutions" in record.getMessage()]
    assert line.startswith("Convolutions run by cuBLAS and kernels of caffepy's own")
    assert "pip install 'caffepy[gpu-cuda" in line
