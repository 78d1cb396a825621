"""caffepy device-query: versions, what is missing, and the GPU that this release does not use."""

from __future__ import annotations

import importlib.metadata
import re

from caffepy.cli import device_query


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


def test_a_gpu(run):
    result = run("device-query", "-gpu=0")
    assert result.code == 1
    assert "this release of caffepy computes on the CPU only" in result.err
