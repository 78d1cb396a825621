"""--tf32: products may round their factors to TF32; asked for only, and only of a GPU that can."""

from __future__ import annotations

import numpy as np
import pytest

from caffepy.devices import get_backend
from caffepy.errors import BackendError


@pytest.fixture
def tf32():
    return get_backend("gpu:0", tf32=True)


def _computed(monkeypatch, call):
    """How cuBLAS is asked to compute the products of ``call``."""
    from caffepy.gpu import _blas

    seen, plain = [], _blas.Blas._call

    def note(self, function, *args):
        if function == "cublasGemmStridedBatchedEx":
            seen.append(args[-2])
        return plain(self, function, *args)

    monkeypatch.setattr(_blas.Blas, "_call", note)
    call()
    return seen


@pytest.mark.parametrize(("asked", "number"), [(False, 68), (True, 77)])
def test_products_ask_for_it(monkeypatch, asked, number):
    """CUBLAS_COMPUTE_32F and CUBLAS_COMPUTE_32F_FAST_TF32: in all three passes."""
    backend = get_backend("gpu:0", tf32=asked)
    op = backend.ops.InnerProduct(backend, False)
    op.plan((4, 6), (4, 5))
    x, w, y = (backend.zeros(shape) for shape in ((4, 6), (5, 6), (4, 5)))

    def passes():
        op.forward(x, w, None, y)
        op.backward_data(y, w, x)
        op.backward_filter(x, y, w)

    assert _computed(monkeypatch, passes) == [number] * 3


@pytest.mark.parametrize("asked", [False, True])
def test_convolutions_ask_for_it(monkeypatch, asked):
    from caffepy.gpu import _cudnn, _cudnn_conv
    from caffepy.gpu.conv import Conv

    if _cudnn.library() is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    seen, plain = [], _cudnn_conv.plan_for

    def note(what, shapes, dtype, tf32=False):
        seen.append(tf32)
        return plain(what, shapes, dtype, tf32)

    monkeypatch.setattr(_cudnn_conv, "plan_for", note)
    Conv(get_backend("gpu:0", tf32=asked), 8, (3, 3), (1, 1), (1, 1), (1, 1), 1).plan((2, 4, 6, 6), (2, 8, 6, 6))
    assert seen
    assert set(seen) == {asked}


def test_tensor_cores_are_left_out_unless_asked_for(monkeypatch):
    from caffepy.gpu import _cudnn

    cudnn = _cudnn.library()
    if cudnn is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    get_backend("gpu:0")
    seen, plain = [], cudnn.pygraph.deselect_numeric_notes

    def note(graph, notes):
        seen.append(cudnn.numerical_note.TENSOR_CORE in notes)
        return plain(graph, notes)

    monkeypatch.setattr(cudnn.pygraph, "deselect_numeric_notes", note)
    shapes = _cudnn.Shapes((2, 8, 6, 6), (8, 8, 3, 3), (2, 8, 6, 6), (1, 1), (1, 1), (1, 1))
    for tf32 in (False, True):
        _cudnn._candidates(_cudnn._handle(cudnn), "forward", shapes, np.dtype(np.float32), tf32)
    assert seen == [True, False]


@pytest.mark.parametrize(("name", "found", "least"), [("tf32", "75", "8.0"), ("amp", "61", "7.0")])
def test_an_older_gpu_is_refused(monkeypatch, name, found, least):
    import cupy

    from caffepy.gpu.backend import GpuBackend

    class Old:
        def __init__(self, index):
            self.compute_capability = found

    monkeypatch.setattr(cupy.cuda, "Device", Old)
    with pytest.raises(BackendError, match=rf"--{name} needs compute capability {least}.*has {int(found) / 10}"):
        GpuBackend(0, **{name: True})
    GpuBackend(0)


def test_of_float32_only():
    with pytest.raises(BackendError, match="tf32: of float32 only; got dtype 'float64'"):
        get_backend("gpu:0", "float64", tf32=True)
