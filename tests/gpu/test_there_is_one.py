"""Whether what must be shown on a GPU is shown in this run."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from caffepy.devices import get_backend
from tests.a_gpu import WHY_NOT
from tests.gpu.nvrtc import compile_for, library


def test_there_is_a_gpu():
    if WHY_NOT:
        pytest.skip(f"all tests of the GPU are left out: {WHY_NOT}")
    backend = get_backend("gpu:0")
    assert backend.device == "gpu:0"
    assert backend.to_host(backend.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_there_is_a_compiler():
    if library() is None or find_spec("cupy") is None:
        pytest.skip("no kernel of the GPU is compiled: nvidia-cuda-nvrtc or CuPy is not installed")
    assert compile_for('extern "C" __global__ void nothing() {}', 90).keys() == {"nothing"}
