"""caffepy device-query: versions, what is missing, and GPUs."""

from __future__ import annotations

import importlib.metadata
import re
import sys

import pytest

from caffepy.cli import device_query
from tests.a_gpu import WHY_NOT


def test_versions(run):
    result = run("device_query")
    assert (result.code, result.err) == (0, "")
    for name in ("numpy", "numba", "pillow", "lmdb", "protobuf"):
        assert re.search(rf"^{name} +{re.escape(importlib.metadata.version(name))}$", result.out, re.M)
    assert re.search(r"^cores +\d+ that this process may use$", result.out, re.M)
    assert re.search(r"^BLAS +\w+", result.out, re.M)
    assert re.search(r"^Python +3\.", result.out, re.M)


def test_threads(run):
    assert re.search(r"^cores +1 that this process may use$", run("device-query", "-threads=1").out, re.M)


def test_what_is_missing(run, monkeypatch):
    real = device_query._version
    monkeypatch.setattr(device_query, "_version", lambda name: None if name == "lmdb" else real(name))
    result = run("device-query")
    assert result.code == 1
    assert re.search(r"^lmdb +missing: pip install lmdb$", result.out, re.M)


def test_without_cupy(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "caffepy.gpu._describe", None)
    monkeypatch.setitem(sys.modules, "caffepy.gpu.backend", None)
    result = run("device-query")
    assert result.code == 0
    text = r"^GPU +device 'gpu': CuPy, .* cannot be imported .*pip install 'caffepy\[gpu-cuda12\]'"
    assert re.search(text, result.out, re.M)
    result = run("device-query", "-gpu=7")
    assert result.code == 1
    assert "device 'gpu:7': CuPy" in result.err


@pytest.mark.skipif(bool(WHY_NOT), reason=f"no GPU: {WHY_NOT}")
def test_with_a_gpu(run):
    result = run("device-query", "-gpu=0")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^gpu:0 +\w.*, compute capability \d+\.\d, [\d.]+ of [\d.]+ GiB free$", result.out, re.M)
    assert re.search(r"^CuPy +1\d\.\d.*, CUDA 1\d\.\d, driver for \d+\.\d$", result.out, re.M)
    assert re.search(r"^cuDNN +(\d+\..*, frontend|missing: .*pip install)", result.out, re.M)
    result = run("device-query", "-gpu=999")
    assert result.code == 1
    assert re.search(r"device 'gpu:999': there (is 1 GPU|are \d+ GPUs).*CUDA_VISIBLE_DEVICES", result.err)
