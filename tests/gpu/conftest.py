"""The GPU that these tests run on: any that CuPy sees, real or emulated."""

from __future__ import annotations

from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import pytest

from caffepy.devices import get_backend
from tests.a_gpu import WHY_NOT
from tests.gpu.nvrtc import library

# Without a GPU one test says why the others are left out; the compiler needs none, and has one of its own.
collect_ignore = []
if WHY_NOT:
    _without = {"test_nvrtc.py", "test_there_is_one.py"}
    collect_ignore += sorted(path.name for path in Path(__file__).parent.glob("test_*.py") if path.name not in _without)
if library() is None or find_spec("cupy") is None:
    collect_ignore.append("test_nvrtc.py")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Of blobs."""
    return request.param


@pytest.fixture
def gpu(dtype):
    """The backend of GPU 0 in ``dtype``."""
    return get_backend("gpu:0", dtype)


@pytest.fixture
def cpu(dtype):
    """The CPU in ``dtype``, one thread."""
    return get_backend("cpu", dtype, 1)


@pytest.fixture
def way(kind, gpu):
    """Planned inside ``with way()``, a convolution goes the way that ``kind``, of the test's module, names."""
    from caffepy.gpu import _cudnn

    if "own" in kind:
        return _cudnn.without_cudnn
    if _cudnn.library() is None:
        pytest.skip("cuDNN is not installed: nvidia-cudnn-frontend and its library")
    return nullcontext
