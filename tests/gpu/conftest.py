"""The GPU that these tests run on: any that CuPy sees, real or emulated."""

from __future__ import annotations

import pytest

from caffepy.devices import get_backend
from tests.a_gpu import WHY_NOT


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Of blobs."""
    return request.param


@pytest.fixture
def gpu(dtype):
    """The backend of GPU 0 in ``dtype``; skips with the reason where there is none."""
    if WHY_NOT:
        pytest.skip(f"no GPU: {WHY_NOT}")
    return get_backend("gpu:0", dtype)


@pytest.fixture
def cpu(dtype):
    """The CPU in ``dtype``, one thread."""
    return get_backend("cpu", dtype, 1)
