"""Products of matrices by cuBLAS, called directly: CuPy's own calls refuse to be captured in a CUDA graph."""

from __future__ import annotations

import ctypes
import logging
import threading
from functools import cache
from typing import Any
from weakref import finalize

import cupy
import numpy as np

from caffepy.backend import Array
from caffepy.errors import BackendError

__all__ = ["Blas", "product"]

_log = logging.getLogger("caffepy")

# Of cublas_api.h and library_types.h: how elements are stored, how products are computed, and in what alpha and beta
# come. Products of floats are exact ones: no TF32. Products of halves are added up in float.
_TYPES: dict[str, tuple[int, int, Any]] = {
    "float16": (2, 68, ctypes.c_float),
    "float32": (0, 68, ctypes.c_float),
    "float64": (1, 70, ctypes.c_double),
}
_TF32 = 77
# Sums of halves stay in float also where a product is split between blocks.
_DISALLOW_REDUCED_PRECISION_REDUCTION = 16
_DEFAULT_ALGORITHM = -1
# What NVIDIA recommends for Hopper, and more than others use. With memory of its own cuBLAS allocates nothing, gives
# the same bits on every stream, and can be captured.
_WORKSPACE = 32 << 20


class Blas:
    """cuBLAS on the current device, for the thread that makes this: `product` makes one for each of both.

    Raises:
        BackendError: cuBLAS cannot be set up.
    """

    def __init__(self) -> None:
        self._library = _library()
        handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        self._handle = handle
        # Not when Python ends: the driver may have gone before.
        finalize(self, self._library.cublasDestroy_v2, handle).atexit = False
        self._call("cublasSetMathMode", handle, _DISALLOW_REDUCED_PRECISION_REDUCTION)
        self._workspace = cupy.empty(_WORKSPACE, np.uint8)
        self._stream = -1

    def _call(self, function: str, *args: Any) -> None:
        status = getattr(self._library, function)(*args)
        if status:
            name = _name(self._library, status)
            raise BackendError(
                f"{function} failed: {name}. Is there memory left on the GPU, and does this CuPy fit the driver? "
                "caffepy device-query tells."
            )

    def _use_current_stream(self) -> None:
        stream = cupy.cuda.get_current_stream().ptr
        if stream != self._stream:
            self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream))
            # A new stream makes cuBLAS forget it.
            self._call("cublasSetWorkspace_v2", self._handle, ctypes.c_void_p(self._workspace.data.ptr), _WORKSPACE)
            self._stream = stream

    def product(
        self, left: Array, right: Array, out: Array, left_t: bool, right_t: bool, add: bool, tf32: bool
    ) -> None:
        """See the function `product`."""
        rows, columns = out.shape[-2:]
        depth = left.shape[-2 if left_t else -1]
        if not out.size:
            return
        if not depth:
            if not add:
                out.fill(0)
            return
        read, computed, number = _TYPES[left.dtype.name]
        written, _, _ = _TYPES[out.dtype.name]
        if tf32 and left.dtype == np.float32:
            computed = _TF32
        self._use_current_stream()
        # cuBLAS counts by columns, and so sees every matrix transposed: out^T = right^T left^T.
        self._call(
            "cublasGemmStridedBatchedEx",
            self._handle,
            int(right_t),
            int(left_t),
            columns,
            rows,
            depth,
            ctypes.byref(number(1)),
            *_operand(right, read),
            *_operand(left, read),
            ctypes.byref(number(add)),
            *_operand(out, written),
            out.shape[0] if out.ndim == 3 else 1,
            computed,
            _DEFAULT_ALGORITHM,
        )


def product(
    left: Array,
    right: Array,
    out: Array,
    left_t: bool = False,
    right_t: bool = False,
    add: bool = False,
    tf32: bool = False,
) -> None:
    """``out = left right``, or ``out += left right`` where ``add``; started on CuPy's current stream.

    Matrices (rows, columns), or as many of them as out has, (count, rows, columns); all of one dtype, except that
    out may be float32 for factors in float16; each row contiguous. A factor of two axes counts for all of out's.
    float32 is computed in float32, unless ``tf32``; float16 is added up in float32; float64 in float64.

    Args:
        left: (rows, depth), or (depth, rows) where ``left_t``.
        right: (depth, columns), or (columns, depth) where ``right_t``.
        out: (rows, columns).
        left_t, right_t: the factor comes transposed.
        add: keep what is in ``out``. Otherwise it is not read and may hold anything.
        tf32: factors in float32 may be rounded to TF32, 10 bits behind the point.
    """
    _blas().product(left, right, out, left_t, right_t, add, tf32)


def _operand(matrix: Array, stored: int) -> tuple[Any, ...]:
    """Its address, type, and the distances of its rows and of matrices, in elements."""
    strides, size = matrix.strides, matrix.itemsize
    assert strides[-1] == size or matrix.shape[-1] == 1
    # A matrix of one row may have any distance of rows.
    row = max(strides[-2] // size, matrix.shape[-1])
    step = strides[0] // size if matrix.ndim == 3 else 0
    return ctypes.c_void_p(matrix.data.ptr), stored, row, ctypes.c_longlong(step)


class _Local(threading.local):
    def __init__(self) -> None:
        self.by_device: dict[int, Blas] = {}


_local = _Local()


def _blas() -> Blas:
    device = cupy.cuda.runtime.getDevice()
    if device not in _local.by_device:
        _local.by_device[device] = Blas()
    return _local.by_device[device]


@cache
def _library() -> Any:
    from cupy.cuda import cublas

    # CuPy's module is linked to the cuBLAS that it found; what it is linked to is looked up through it.
    library = ctypes.CDLL(cublas.__file__)
    _log.debug("cuBLAS through %s", cublas.__file__)
    library.cublasSetWorkspace_v2.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return library


def _name(library: Any, status: int) -> str:
    try:
        text = library.cublasGetStatusName
    except AttributeError:
        return f"status {status}"
    text.restype = ctypes.c_char_p
    return str(text(status).decode())
